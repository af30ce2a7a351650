// @ts-check
/**
 * Signing in, making an account, and the way back from a provider.
 *
 * Owns: what is shown while nobody is signed in. Must never: leave a code in the address, where it
 * would be kept by the browser's history.
 */

import { field, form } from "./forms.js"
import { h } from "./dom.js"
import { words } from "./chat.js"

const SSO_ERRORS = /** @type {Record<string, string>} */ ({
  denied: "The sign-in was cancelled.",
  unavailable: "The sign-in service cannot be reached now. Try again a little later.",
  failed: "The sign-in service gave an answer that cannot be trusted. Try again.",
})

/**
 * @param {import("../rtchat.js").Session} session
 * @param {string} told why one is here, where there is a reason
 */
export function signIn(session, told) {
  const name = field({
    label: "Name",
    name: "name",
    autocomplete: "nickname",
    maxlength: 80,
    hint: "How others see you. You can change it later.",
  })
  const email = field({
    label: "E-mail",
    name: "email",
    type: "email",
    autocomplete: "username",
    autocapitalize: "none",
    spellcheck: "false",
    required: true,
  })
  const password = field({
    label: "Password",
    name: "password",
    type: "password",
    required: true,
    autocomplete: "current-password",
    maxlength: 1024,
  })
  let isNew = false

  const submit = async () => {
    const missing = [email, password].find((one) => !one.value())
    if (missing) {
      missing.tell(missing === email ? "Your e-mail address, please." : "A password, please.")
      return missing.input.focus()
    }
    if (!isNew) await session.signIn(email.value().trim(), password.value())
    else {
      const called = name.value().trim() || undefined
      await session.register(email.value().trim(), password.value(), called)
    }
  }
  const entry = form({
    name: "sign-in",
    fields: [name, email, password],
    button: "Sign in",
    submit,
  })
  const heading = h("h1", {}, "Sign in")
  const question = h("span")
  const other = h("button.link", { onclick: () => turn(!isNew) })

  /** @param {boolean} toNew */
  function turn(toNew) {
    isNew = toNew
    entry.clear()
    for (const one of [email, password]) one.tell("")
    const [title, ask, answer] = isNew
      ? ["Make an account", "Have you been here before?", "Sign in"]
      : ["Sign in", "New here?", "Make an account"]
    heading.textContent = entry.sender.textContent = title
    question.textContent = `${ask} `
    other.textContent = answer
    name.element.hidden = !isNew
    password.input.autocomplete = isNew ? "new-password" : "current-password"
    ;(isNew ? name : email).input.focus({ preventScroll: true })
  }

  const sso = h("div.sso", { hidden: true })
  const why = h("p.told bad", { role: "alert" }, told)
  const page = h(
    "main.sign-in",
    { id: "main" },
    h(
      "div.card",
      {},
      h("p.brand", {}, h("img", { src: logo, alt: "", width: 28, height: 28 }), "rtchat"),
      heading,
      why,
      entry.element,
      sso,
      h("p.turn", {}, question, other),
    ),
    h("p.about", {}, h("a", { href: "docs" }, "For developers: the interface")),
  )
  document.body.replaceChildren(page)
  turn(false)
  offer(session, sso)
}

const logo = /** @type {HTMLLinkElement} */ (document.querySelector("link[rel=icon]")).href

/** @param {import("../rtchat.js").Session} session @param {HTMLElement} box */
async function offer(session, box) {
  const providers = /** @type {any[]} */ (await session.providers().catch(() => []))
  if (!providers.length) return
  const here = encodeURIComponent(location.pathname)
  const links = providers.map(({ name, title, url }) =>
    h("a.button", { href: `${url}?next=${here}` }, `Continue with ${title ?? name}`),
  )
  box.replaceChildren(h("p.or", {}, "or"), ...links)
  box.hidden = false
}

/**
 * Take what a provider's sign-in left in the address; returns what to tell.
 * @param {import("../rtchat.js").Session} session
 */
export async function comeBack(session) {
  const query = new URLSearchParams(location.search)
  const [code, error] = [query.get("code"), query.get("error")]
  if (!code && !error) return ""
  history.replaceState(null, "", location.pathname + location.hash)
  if (!code) return SSO_ERRORS[error ?? ""] ?? "The sign-in did not succeed."
  try {
    await session.exchange(code)
    return ""
  } catch (refused) {
    return words(refused)
  }
}
