// @ts-check
/**
 * When to come back, and whether: the contract's table of close codes, and full jitter.
 *
 * Must never: bring a crowd back at one moment. After a restart thousands of clients decide at
 * once, each by itself, so every delay is drawn from an interval that begins at 0.
 */

const LIVED_MS = 10_000 // a connection that lasted for so long ends a series of failures
const EXPONENT_MAX = 16

/** @typedef {"end" | "renew" | "now" | "later"} Verdict `renew`: with another token, then now */

/** @type {Record<number, Verdict>} */
const SINGLE = { 4001: "renew", 4202: "renew", 1012: "now" }
/** @type {Record<number, Verdict>} */
const HUNDREDS = { 40: "end", 41: "later", 42: "now" }

/** @type {Record<number, string>} */
const WORDS = {
  1006: "The connection was lost.",
  1012: "The server is restarting.",
  4001: "The server did not take the sign-in.",
  4003: "The server does not let this user connect.",
  4004: "The session was ended.",
  4008: "Too many frames were sent.",
  4009: "The server did not understand this program.",
  4101: "The server has no room at the moment.",
  4102: "The connection was too slow.",
  4201: "The server is restarting.",
  4202: "The sign-in has to be renewed.",
}

/** What a close means. @param {number} code @returns {Verdict} */
export const verdictOf = (code) => SINGLE[code] ?? HUNDREDS[Math.floor(code / 100)] ?? "later"

/** A fault of this program's, perhaps; it would be met again at once. @param {number} code */
const faultMs = (code) => ([1002, 1003, 1007, 1009].includes(code) ? 30_000 : 0)

/** What to tell a person. @param {number} code */
export const wordsOf = (code) => WORDS[code] ?? `The connection was closed (${code}).`

/** All of a growing interval. @param {number} n @param {number} firstMs @param {number} mostMs */
export const jitter = (n, firstMs, mostMs) =>
  Math.random() * Math.min(mostMs, firstMs * 2 ** Math.min(n, EXPONENT_MAX))

/** The delays of one series of failures, which goes on until a connection has lived. */
export class Backoff {
  #failures = 0

  /** @param {{backOffMs: number, backOffMaxMs: number}} times */
  constructor(times) {
    this.times = times
  }

  /** After one more failure. "Now" is one step behind: from the third on it grows too.
   * @param {Verdict} verdict @param {number} [hintMs] what the server asked for, on top
   * @param {number} [code] of a close */
  delay(verdict, hintMs = 0, code = 0) {
    const n = verdict === "later" ? this.#failures : Math.max(0, this.#failures - 1)
    this.#failures++
    return hintMs + faultMs(code) + jitter(n, this.times.backOffMs, this.times.backOffMaxMs)
  }

  /** @param {number} ms how long a connection lasted, from its hello on; a short one is no success */
  lived(ms) {
    if (ms >= LIVED_MS) this.#failures = 0
  }
}
