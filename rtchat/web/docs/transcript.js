// @ts-check
/**
 * The list of what went over the socket.
 *
 * Owns: the entries and their number. Must never: keep more than so many, or longer ones, however
 * fast they come; a tab is left open over night.
 */

import { el } from "./dom.js"

const ENTRIES_MAX = 200
const CHARS_MAX = 16_384 // of an entry

const SAID = { out: ["↑", "sent"], in: ["↓", "received"], note: ["·", "connection"] }

/**
 * @typedef {keyof typeof SAID} Way
 * @typedef {{way: Way, text: string, at: Date, bad: boolean}} Entry
 */

/** @param {string} text @returns {any} undefined: no JSON */
export function parsed(text) {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** @param {Date} at */
function clock(at) {
  const seconds = at.toLocaleTimeString("en-GB", { hour12: false })
  return `${seconds}.${String(at.getMilliseconds()).padStart(3, "0")}`
}

/** @param {Entry} entry */
function line({ way, text, at, bad }) {
  const [arrow, word] = SAID[way]
  const frame = way === "note" ? undefined : parsed(text)
  const type = typeof frame?.t === "string" ? frame.t : ""
  const head = [
    el("span", { class: "way", "aria-hidden": true }, arrow),
    el("span", { class: "unseen" }, `${word} `),
    el("time", {}, clock(at)),
    " ",
  ]
  const classes = [way, bad || type === "error" ? "wrong" : ""].join(" ").trim()
  if (!frame) return el("li", { class: classes }, ...head, el("span", { class: "words" }, text))
  const full = el("pre")
  const unfold = () => (full.textContent = JSON.stringify(frame, null, 2))
  return el(
    "li",
    { class: classes },
    el(
      "details",
      { ontoggle: unfold },
      el("summary", {}, ...head, el("b", {}, type), " ", el("code", {}, text)),
      full,
    ),
  )
}

/** A bounded list; entries that come within one frame of the screen are put in together. */
export class Transcript {
  list = el("ol")
  pane = el(
    "div",
    { class: "transcript", role: "log", "aria-label": "Frames", tabindex: 0 },
    this.list,
  )
  counted = el("span", { class: "quiet" })
  /** @type {Entry[]} */
  #waiting = []
  #total = 0
  #due = false

  /** @param {Way} way @param {string} text @param {boolean} [bad] */
  add(way, text, bad = false) {
    this.#total += 1
    const cut = text.length > CHARS_MAX ? `${text.slice(0, CHARS_MAX)} … (cut)` : text
    this.#waiting.push({ way, text: cut, at: new Date(), bad })
    if (this.#waiting.length > ENTRIES_MAX) this.#waiting.shift()
    if (this.#due) return
    this.#due = true
    // A hidden tab draws nothing, and the list is filled when somebody looks again.
    requestAnimationFrame(() => this.#flush())
  }

  clear() {
    this.#waiting = []
    this.#total = 0
    this.list.replaceChildren()
    this.#count()
  }

  #flush() {
    this.#due = false
    const { list, pane } = this
    const atEnd = pane.scrollHeight - pane.scrollTop - pane.clientHeight < 40
    list.append(...this.#waiting.splice(0).map(line))
    while (list.children.length > ENTRIES_MAX) list.firstElementChild?.remove()
    if (atEnd) pane.scrollTop = pane.scrollHeight
    this.#count()
  }

  #count() {
    const gone = this.#total - this.list.children.length
    this.counted.textContent = gone > 0 ? `${this.#total}, the last ${ENTRIES_MAX} shown` : ""
  }
}
