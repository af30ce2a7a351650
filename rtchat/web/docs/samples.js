// @ts-check
/**
 * A plugin of Swagger UI: what our document tells of an operation and Swagger UI leaves out.
 *
 * Owns: the samples (`x-codeSamples`) and the limits of rate (`x-rate-limits`), above the
 * parameters; and that a redirect is not tried, for it leads to a host that the page may not ask.
 */

import { ROOT } from "./session.js"

const KEY = `rtchat${ROOT.pathname}samples`
const TOLD_MS = 2_000
const NAMES = "TOKEN is what signing in gives; other names in capitals are of earlier samples."
const UNTRIED =
  "Not to be tried here: it sends a browser on to another host, which this page must not ask. " +
  "It is for the address bar."

/** @typedef {{label: string, lang: string, source: string}} Sample */

/**
 * What a sample needs before it, as docs/api.md has it.
 * @param {Sample} sample
 * @param {string} api the server's address
 */
function beginning({ lang, source }, api) {
  if (lang === "Python") return `import httpx2\nhttp = httpx2.Client(base_url="${api}")\n\n`
  // A console takes `var` again with the next sample.
  if (lang === "JavaScript") return `var API = "${api}", answer, data;\n\n`
  const field = `field() { python3 -c "import json,sys; print(json.load(sys.stdin)['$1'])"; }\n`
  return `API=${api}\n${source.includes("$(field ") ? field : ""}\n`
}

/** Select a text and copy it; on plain http there is no `clipboard`. @param {Element} element */
async function copy(element) {
  getSelection()?.selectAllChildren(element)
  try {
    await navigator.clipboard.writeText(element.textContent ?? "")
    return "Copied"
  } catch {
    return document.execCommand("copy") ? "Copied" : "Press Ctrl+C"
  }
}

/** Which language this tab has chosen, or chooses, if it has storage. @param {string} [label] */
function kept(label) {
  try {
    if (label) sessionStorage.setItem(KEY, label)
    return sessionStorage.getItem(KEY) ?? ""
  } catch {
    return "" // its owner has blocked it
  }
}

/** Whether an operation answers with a redirect. @param {any} operation */
const redirects = (operation) => Boolean(operation?.hasIn(["responses", "302"]))

/** The plugin. @param {any} system */
export function samples({ React }) {
  const h = React.createElement

  /** @param {Record<string, any>} limit */
  function Rate({ what, of, perSecond, burst, code, setting }) {
    const words = `Limit of ${what}: ${perSecond} a second, ${burst} at once, of ${of}; beyond it `
    const told = perSecond ? [words, h("code", null, code), ". "] : [`No limit of ${what}. `]
    return h("p", { className: "rate" }, ...told, "Set by ", h("code", null, setting), ".")
  }

  /** @param {{samples: Sample[], api: string, chosen: string, choose: Function}} props */
  function Samples({ samples, api, chosen, choose }) {
    const id = React.useId()
    const code = React.useRef(null)
    const [word, say] = React.useState("Copy")
    const at = Math.max(0, samples.map(({ label }) => label).indexOf(chosen))

    /** @param {any} event */
    function onKeyDown(event) {
      /** @type {Record<string, number>} */
      const keys = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: -1 }
      const to = keys[event.key]
      if (to === undefined || event.altKey || event.metaKey) return // with these: back
      event.preventDefault()
      const next = (to + samples.length) % samples.length
      choose(samples[next].label)
      event.currentTarget.children[next].focus()
    }
    async function onClick() {
      say(await copy(code.current))
      setTimeout(() => say("Copy"), TOLD_MS)
    }
    const tabs = samples.map(({ label }, n) => {
      const aria = { role: "tab", "aria-selected": n === at, "aria-controls": `${id}text` }
      const props = { key: label, id: id + n, type: "button", tabIndex: n === at ? 0 : -1, ...aria }
      return h("button", { ...props, onClick: () => choose(label) }, label)
    })
    const head = { className: "opblock-section-header" }
    const strip = { role: "tablist", "aria-label": "Samples", onKeyDown }
    const button = { className: "copy", type: "button", "aria-live": "polite", onClick }
    const panel = { id: `${id}text`, role: "tabpanel", "aria-labelledby": id + at, tabIndex: 0 }
    const text = beginning(samples[at], api) + samples[at].source
    const hasNames = samples.some(({ source }) => /\$(?!API\b)[A-Z]/.test(source))
    return h(
      "div",
      { className: "opblock-section samples" },
      h("div", head, h("div", strip, tabs), h("button", button, word)),
      h("pre", panel, h("code", { ref: code }, text)),
      hasNames && h("p", null, NAMES),
    )
  }

  /** The parameters, which every operation shows, with ours around. @param {any} Parameters */
  const parameters = (Parameters, /** @type {any} */ system) => (/** @type {any} */ props) => {
    const limits = props.operation.get("x-rate-limits")?.toJS() ?? []
    const samples = props.operation.get("x-codeSamples")?.toJS() ?? []
    const api = system.specSelectors.specJson().getIn(["servers", 0, "url"])
    const chosen = system.layoutSelectors.whatMode("samples") || kept()
    /** @param {string} label */
    const choose = (label) => {
      kept(label)
      system.layoutActions.changeMode("samples", label)
    }
    return h(
      React.Fragment,
      null,
      ...limits.map((/** @type {any} */ limit) => h(Rate, limit)),
      samples.length > 0 && h(Samples, { samples, api, chosen, choose }),
      h(Parameters, props),
      redirects(props.operation) && h("p", { className: "untried" }, UNTRIED),
    )
  }

  /** @param {() => boolean} may */
  const allowTryItOutFor =
    (may) =>
    (/** @type {any} */ state, /** @type {string[]} */ ...at) =>
      may() && !redirects(state.getIn(["json", "paths", ...at]))

  return {
    wrapComponents: { parameters },
    statePlugins: { spec: { wrapSelectors: { allowTryItOutFor } } },
  }
}
