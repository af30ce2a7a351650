// @ts-check
/**
 * The page of the REST interface: Swagger UI with this server's document, signed in as
 * the strip is.
 *
 * Must never let Swagger UI ask another host: no validator, and the only server is this one.
 */

import { showAccount } from "./account.js"
import { byId } from "./dom.js"
import { samples } from "./samples.js"
import { ROOT, ask, session } from "./session.js"

const SCHEME = "bearer" // the security scheme's name in the document

/** The class by which Swagger UI is dark. */
function followColours() {
  const dark = matchMedia("(prefers-color-scheme: dark)")
  const follow = () => document.documentElement.classList.toggle("dark-mode", dark.matches)
  dark.addEventListener("change", follow)
  follow()
}

/** @param {any} ui @param {boolean} had whether it has a token, which is to be taken away */
function handOver(ui, had) {
  if (session.token) ui.preauthorizeApiKey(SCHEME, session.token)
  else if (had) ui.authActions.logout([SCHEME])
}

/** @param {any} document_ */
function start(document_) {
  const { SwaggerUIBundle } = /** @type {any} */ (globalThis)
  const ui = SwaggerUIBundle({
    dom_id: "#operations",
    // Whatever address the document names, the page may ask only where it came from.
    spec: { ...document_, servers: [{ url: ROOT.href.replace(/\/$/, "") }] },
    presets: [SwaggerUIBundle.presets.apis],
    plugins: [samples],
    layout: "BaseLayout",
    validatorUrl: null,
    deepLinking: true,
    displayRequestDuration: true,
    tryItOutEnabled: true,
    defaultModelsExpandDepth: 0,
    persistAuthorization: false,
    /** @param {any} response */
    responseInterceptor(response) {
      if (response.status === 401 && session.token) session.renew() // has the session ended?
      return response
    },
    onComplete() {
      byId("loading").remove()
      handOver(ui, false)
      session.addEventListener("change", () =>
        handOver(ui, Boolean(ui.authSelectors.authorized()?.size)),
      )
    },
  })
}

followColours()
showAccount()
try {
  start(await ask("GET", "openapi.json"))
} catch (error) {
  byId("loading").textContent = `openapi.json cannot be read. ${error}`
}
