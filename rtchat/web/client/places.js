// @ts-check
/**
 * Where a tab is in each channel that it follows, and who waits to be told.
 *
 * Must never: let an entry through twice, or past a hole.
 */

import { Refused } from "./refused.js"

/**
 * @typedef {import("../rtchat.js").Standing} Standing
 * @typedef {{told: (ch: number, standing: Standing) => void, failed: (why: Refused) => void}} Asker
 * @typedef {{cursor: number | null, epoch: string | null, ask: number, waiting: Asker[]}} Place
 *   `ask`: its number, so that an answer to an earlier one is told apart
 * @typedef {{emit: (name: string, detail: any) => void, post: (message: object) => void}} Tell
 */

export class Places {
  /** @type {Map<number, Place>} */
  #all = new Map()
  #asks = 0

  /** @param {Tell} tell */
  constructor(tell) {
    this.tell = tell
  }

  get cursors() {
    /** @type {Record<number, number>} */
    const known = {}
    for (const [ch, { cursor }] of this.#all) if (cursor !== null) known[ch] = cursor
    return known
  }

  /**
   * @param {Record<number, number | null>} cursors @param {string | null} epoch
   * @returns {Promise<Record<number, Standing>>}
   */
  want(cursors, epoch) {
    const channels = Object.keys(cursors).map(Number)
    /** @type {Record<number, Standing>} */
    const answer = {}
    return new Promise((resolve, failed) => {
      const told = (/** @type {number} */ ch, /** @type {Standing} */ standing) => {
        answer[ch] = standing
        if (Object.keys(answer).length === channels.length) resolve(answer)
      }
      for (const ch of channels) {
        const waiting = [...this.#waiting(ch), { told, failed }]
        this.#all.set(ch, { cursor: cursors[ch], epoch, ask: ++this.#asks, waiting })
      }
      if (channels.length) this.#ask(channels)
      else resolve(answer)
    })
  }

  /** @param {number[]} channels */
  #ask(channels) {
    const places = channels.map((ch) => {
      const { cursor, epoch, ask } = /** @type {Place} */ (this.#all.get(ch))
      return [ch, cursor, epoch, ask]
    })
    this.tell.post({ t: "sub", places })
  }

  /** Another engine has to be told of all. */
  again() {
    this.#ask([...this.#all.keys()])
  }

  /** @param {number[]} channels */
  leave(channels) {
    const why = new Refused("stopped", "It was unsubscribed.")
    for (const ch of channels) {
      for (const { failed } of this.#waiting(ch)) failed(why)
      this.#all.delete(ch)
    }
    this.tell.post({ t: "unsub", channels })
  }

  /** It was answered. @param {{ch: number, ask: number, cursor: number, head: number,
   *   epoch: string, error?: string}} answer */
  stands({ ch, ask, cursor, head, epoch, error }) {
    const waiting = this.#waiting(ch)
    if (this.#all.get(ch)?.ask !== ask) return // it has been left, or asked for again
    if (error) {
      this.over(ch, error)
      if (waiting.length) return
      if (error === "reset") this.tell.emit("reset", { ch, head: null })
      else this.tell.emit("removed", { ch, reason: error })
    } else {
      this.#all.set(ch, { cursor, epoch, ask, waiting: [] })
      for (const { told } of waiting) told(ch, { head })
    }
  }

  /** It cannot be followed any more. @param {number} ch @param {string} error */
  over(ch, error) {
    for (const { told } of this.#waiting(ch)) told(ch, { error })
    this.#all.delete(ch)
  }

  /** Whether this is the next entry. @param {{ch: number, seq: number}} entry */
  takes({ ch, seq }) {
    const place = this.#all.get(ch)
    if (!place || place.cursor === null || seq !== place.cursor + 1) return false
    if (place.waiting.length) return false // it is of the place before
    place.cursor = seq
    return true
  }

  /** Who waits will not be told. @param {Refused} why */
  fail(why) {
    for (const place of this.#all.values()) {
      for (const { failed } of place.waiting.splice(0)) failed(why)
    }
  }

  /** @param {number} ch */
  #waiting(ch) {
    return this.#all.get(ch)?.waiting ?? []
  }
}
