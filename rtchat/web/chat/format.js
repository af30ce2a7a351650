// @ts-check
/**
 * How things are put into words: times, names, counts, and where text holds links.
 *
 * Owns: no state and no DOM, so Node tests it. Must never: give back markup; what it cuts a text
 * into goes into the page as text.
 */

const DAY_MS = 86_400_000
export const COLOURS = 12 // classes c0 … c11 of the style sheet

/** @param {Intl.DateTimeFormatOptions} options */
const format = (options) => new Intl.DateTimeFormat(undefined, options)
const clock = format({ hour: "numeric", minute: "2-digit" })
const weekday = format({
  weekday: "long",
  day: "numeric",
  month: "long",
})
const withYear = format({ dateStyle: "long" })
const exact = format({ dateStyle: "full", timeStyle: "medium" })
const graphemes = new Intl.Segmenter(undefined, { granularity: "grapheme" })

/** @param {number} ms */
export const time = (ms) => clock.format(ms)
/** Without "PM", where there is little room. @param {number} ms */
export const shortTime = (ms) => time(ms).replace(/\s*[\p{L}.]+$/u, "")
/** @param {number} ms */
export const moment = (ms) => exact.format(ms)

/** Midnight before a moment, here. @param {number} ms */
export const dayOf = (ms) => new Date(ms).setHours(0, 0, 0, 0)

/** @param {number} ms @param {number} now */
export function day(ms, now) {
  const days = Math.round((dayOf(now) - dayOf(ms)) / DAY_MS) // 23 and 25 hours are a day, too
  if (days === 0) return "Today"
  if (days === 1) return "Yesterday"
  return (days < 300 ? weekday : withYear).format(ms)
}

/** Up to two letters that stand for somebody. @param {string} name */
export function initials(name) {
  const words = name.match(/[\p{L}\p{N}][\p{L}\p{N}\p{M}]*/gu) ?? [name]
  const chosen = [words[0], ...words.slice(1).slice(-1)]
  return (
    chosen
      .map((word) => first(word))
      .join("")
      .toUpperCase() || "?"
  )
}

/** The first letter as people count them, without what is piled on it. @param {string} word */
function first(word) {
  const [part] = graphemes.segment(word)
  return (part?.segment ?? "").normalize("NFD").replace(/\p{M}/gu, "").slice(0, 2)
}

/** Always the same for the same person. @param {number} id */
export const colour = (id) => (Math.imul(id, 0x9e3779b1) >>> 0) % COLOURS

/** Beyond 99 nobody counts; none is not told. @param {number | null} n */
export const count = (n) => (n ? (n > 99 ? "99+" : String(n)) : "")

/** @param {number} n @param {string} one @param {string} [many] */
export const plural = (n, one, many = `${one}s`) => `${n} ${n === 1 ? one : many}`

/** What is unread, behind a name that is read out. @param {number | null} n */
export const unreadTold = (n) => (n ? `, ${plural(n, "unread message")}` : "")

/** "Ann", "Ann and Bob", "Ann, Bob and 3 others". @param {string[]} names @param {number} [max] */
export function listed(names, max = 3) {
  if (names.length > max) {
    const rest = names.length - max + 1
    return `${names.slice(0, max - 1).join(", ")} and ${plural(rest, "other")}`
  }
  return names.length < 2
    ? (names[0] ?? "")
    : `${names.slice(0, -1).join(", ")} and ${names.at(-1)}`
}

/** @param {string[]} names */
export function typing(names) {
  if (!names.length) return ""
  if (names.length > 3) return "Several people are typing …"
  return `${listed(names)} ${names.length === 1 ? "is" : "are"} typing …`
}

const LINK = /\bhttps?:\/\/[^\s<>"'\u2028\u2029]+/giu
const TAIL = /[.,;:!?…*_~]+$/u // ends the sentence, not the address

/**
 * A text in pieces, those with a `url` to be links. Nothing is lost: the texts make the whole.
 * @param {string} text
 * @returns {{text: string, url?: string}[]}
 */
export function pieces(text) {
  const found = []
  let done = 0
  for (const match of text.matchAll(LINK)) {
    const word = trimmed(match[0])
    const url = safe(word)
    if (!url) continue
    if (match.index > done) found.push({ text: text.slice(done, match.index) })
    found.push({ text: word, url })
    done = match.index + word.length
  }
  if (done < text.length) found.push({ text: text.slice(done) })
  return found
}

/** An address without the signs behind it; a closing bracket is its own if it opened it. */
function trimmed(/** @type {string} */ word) {
  for (;;) {
    const next = word.replace(TAIL, "")
    const opened = next.split("(").length
    const cut = next.endsWith(")") && next.split(")").length > opened ? next.slice(0, -1) : next
    if (cut === word) return word
    word = cut
  }
}

/** The address where it is one of the web, else "". @param {string} word */
function safe(word) {
  const url = URL.canParse(word) ? new URL(word) : null
  const isWeb = url && (url.protocol === "https:" || url.protocol === "http:")
  return isWeb && !url.username && !url.password ? url.href : ""
}

/** How many characters, as the server counts them: code points. @param {string} text */
export function length(text) {
  let n = 0
  for (const _ of text) n++
  return n
}
