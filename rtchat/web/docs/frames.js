// @ts-check
/** The frames to read: of an AsyncAPI document's parts, as `document` finds them, to sections. */

import { closesOf, errorsOf, unaskedErrorsOf } from "./document.js"
import { el, inline, prose } from "./dom.js"

/**
 * @typedef {import("./document.js").Frame} Frame
 * @typedef {import("./document.js").Field} Field
 */

/**
 * Fill the reference.
 * @param {HTMLElement} place
 * @param {Record<string, any>} doc
 * @param {Frame[]} frames
 * @param {(frame: Frame) => void} onTry
 */
export function showReference(place, doc, frames, onTry) {
  const fromClient = frames.filter((frame) => frame.from === "client")
  const fromServer = frames.filter((frame) => frame.from === "server")
  place.replaceChildren(
    el("h1", {}, "WebSocket ", el("span", { class: "quiet" }, doc.info?.version ?? "")),
    el("div", { class: "intro" }, ...prose(doc.info?.description ?? "")),
    el(
      "nav",
      { class: "contents", "aria-label": "Frames" },
      links("A client sends", fromClient),
      links("The server sends", fromServer),
      el(
        "p",
        {},
        el("a", { href: "#errors" }, "Error codes"),
        " ",
        el("a", { href: "#closes" }, "Close codes"),
      ),
    ),
    el("h2", { id: "client" }, "A client sends"),
    ...fromClient.map((frame) => section(frame, onTry)),
    el("h2", { id: "server" }, "The server sends"),
    ...grouped(fromServer),
    ...errorCodes(doc),
    ...closeCodes(doc),
  )
  goToHash()
}

/** The browser looked for the place before it was there. */
function goToHash() {
  const id = decodeURIComponent(location.hash.slice(1))
  if (id) document.getElementById(id)?.scrollIntoView()
}

/** @param {string} title @param {Frame[]} frames */
function links(title, frames) {
  const each = frames.flatMap((frame) => [
    " ",
    el("a", { href: `#${frame.id}` }, el("code", {}, frame.t)),
  ])
  return el("p", {}, el("span", { class: "quiet" }, `${title}:`), ...each)
}

/** Server frames under the words of their groups. @param {Frame[]} frames */
function grouped(frames) {
  const groups = [...new Set(frames.map((frame) => frame.group))]
  return groups.flatMap((group) => [
    el("p", { class: "group" }, ...inline(group)),
    ...frames.filter((frame) => frame.group === group).map((frame) => section(frame)),
  ])
}

/** @param {Frame} frame @param {(frame: Frame) => void} [onTry] */
function section(frame, onTry) {
  return el(
    "section",
    { class: "frame", id: frame.id },
    el(
      "header",
      {},
      el("h3", {}, el("code", {}, frame.t)),
      onTry
        ? el(
            "button",
            {
              type: "button",
              "aria-label": `Try it: ${frame.t}`,
              onclick: () => onTry(frame),
            },
            "Try it",
          )
        : null,
    ),
    ...prose(frame.words),
    el("dl", { class: "fields" }, ...frame.fields.filter(isWorthALine).map(fieldRow)),
    ...frame.examples.map((example) => el("pre", { class: "example" }, spaced(example))),
    ...outcome(frame),
  )
}

/** `t` stands in the heading. @param {Field} field */
function isWorthALine(field) {
  return field.path !== "t"
}

/** @param {Field} field */
function fieldRow({ path, kind, bounds, required, words }) {
  return el(
    "div",
    {},
    el(
      "dt",
      {},
      el("code", {}, path),
      " ",
      el("span", { class: "quiet" }, kind, required ? "" : ", optional"),
    ),
    el(
      "dd",
      {},
      ...inline(words),
      " ",
      bounds ? el("span", { class: "quiet" }, ...inline(bounds)) : null,
    ),
  )
}

/**
 * On one line, as on the wire, with spaces where a line may break.
 * @param {any} value
 * @returns {string}
 */
function spaced(value) {
  if (Array.isArray(value)) return `[${value.map(spaced).join(", ")}]`
  if (!(value instanceof Object)) return JSON.stringify(value)
  const entries = Object.entries(value).map(([key, of]) => `${JSON.stringify(key)}: ${spaced(of)}`)
  return `{${entries.join(", ")}}`
}

/** What a command is answered with. @param {Frame} frame */
function outcome(frame) {
  const lines = []
  if (frame.answers.length) {
    lines.push(
      el(
        "p",
        { class: "outcome" },
        "Answered with ",
        ...joined(frame.answers.map(({ id, t }) => el("a", { href: `#${id}` }, el("code", {}, t)))),
        ".",
      ),
    )
  }
  if (frame.errors.length) {
    lines.push(
      el("p", { class: "outcome" }, "Errors: ", ...joined(frame.errors.map(errorLink)), "."),
    )
  }
  return lines
}

/** @param {Node[]} nodes */
function joined(nodes) {
  return nodes.flatMap((node, index) => (index ? [", ", node] : [node]))
}

/** @param {string} code */
function errorLink(code) {
  return el("a", { href: `#error-${code}` }, el("code", {}, code))
}

/** @param {Record<string, any>} doc */
function errorCodes(doc) {
  const unasked = unaskedErrorsOf(doc).map(({ words, codes }) =>
    el("p", {}, ...inline(words), " ", ...joined(codes.map(errorLink)), "."),
  )
  const rows = errorsOf(doc).map(({ code, retry, words }) =>
    el(
      "div",
      { id: `error-${code}` },
      el(
        "dt",
        {},
        el("code", {}, code),
        " ",
        el("span", { class: "quiet" }, retry ? "try again later" : "final"),
      ),
      el("dd", {}, ...inline(words)),
    ),
  )
  return [
    el("h2", { id: "errors" }, "Error codes"),
    ...unasked,
    el("dl", { class: "fields" }, ...rows),
  ]
}

/** @param {Record<string, any>} doc */
function closeCodes(doc) {
  const rows = [...closesOf(doc)].map(([code, { name, todo, words }]) =>
    el(
      "div",
      { id: `close-${code}` },
      el(
        "dt",
        {},
        el("code", {}, String(code)),
        " ",
        name.replaceAll("_", " "),
        " ",
        el("span", { class: "quiet" }, ...inline(todo)),
      ),
      el("dd", {}, ...inline(words)),
    ),
  )
  return [el("h2", { id: "closes" }, "Close codes"), el("dl", { class: "fields" }, ...rows)]
}
