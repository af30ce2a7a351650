// @ts-check
/**
 * How fast writes may go over one socket.
 *
 * Owns: how many are under way, and the waits that the server asked for. Must never: come back
 * faster than it was told. Lost with the socket, as it must be: the next one begins without waits.
 */

import { jitter } from "./backoff.js"

const UNDER_WAY_MAX = 64
const AGAIN_MS = 500
const AGAIN_MAX_MS = 10_000
const MARGIN_MS = 1050 // 5 % below the rate that the server allows
const PACED_MS = 2_000 // without a write for so long: the pace is forgotten

const now = () => performance.now()

export class Pace {
  underWay = 0
  #allowed = UNDER_WAY_MAX
  #resumeAt = 0 // no write before that
  /** @type {Map<number, number>} the same, of one channel */
  #held = new Map()
  #paceMs = 0
  #lastAt = 0

  /** @param {number} perSecond 0: no limit */
  constructor(perSecond) {
    this.perSecond = perSecond
  }

  get isFull() {
    return this.underWay >= this.#allowed
  }

  /** When the next write of a channel may go. @param {number} ch */
  from(ch) {
    if (now() - this.#lastAt > PACED_MS) this.#paceMs = 0
    const paced = this.#paceMs && this.#lastAt + this.#paceMs
    return Math.max(this.#resumeAt, this.#held.get(ch) ?? 0, paced)
  }

  sent() {
    this.underWay++
    this.#lastAt = now()
  }

  acked() {
    this.#allowed = Math.min(UNDER_WAY_MAX, this.#allowed + 1)
  }

  /** Told to come again. @param {number} ch @param {number} tries
   * @param {{code: string, after?: number}} error */
  refused(ch, tries, { code, after }) {
    const until = now() + (after ?? jitter(tries, AGAIN_MS, AGAIN_MAX_MS))
    if (code === "internal") this.#held.set(ch, until)
    else {
      this.#resumeAt = Math.max(this.#resumeAt, until)
      this.#allowed = 1 // one tries the ground
    }
    if (code === "rate_limited" && this.perSecond) this.#paceMs = MARGIN_MS / this.perSecond
  }
}
