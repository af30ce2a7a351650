// @ts-check
/**
 * What a tab sees of the outbox, and the promises that it gave.
 *
 * Owns: the making of writes: nonce, moment, and the checks that spare a trip. Must never: take a
 * write for failed that may be stored.
 */

import { BYTES_MAX, COUNT_MAX, bytesOf } from "./outbox.js"
import { Refused } from "./refused.js"
import { randomId } from "./locks.js"

const FRAME_BYTES = 65_536 // until hello

/**
 * @typedef {import("./outbox.js").Write} Write
 * @typedef {{kind: import("./outbox.js").Kind, ch: number, content?: string, of?: number,
 *   emoji?: string, on?: boolean}} Wish
 * @typedef {{write: Write, stored: () => void, acked: (ack: any) => void,
 *   failed: (why: Refused) => void}} Promised
 */

export class Writes {
  /** @type {Map<string, Write>} by nonce */
  #all = new Map()
  /** @type {Map<string, Promised>} */
  #promised = new Map()
  #lastAt = 0

  /** @param {import("./places.js").Tell} tell */
  constructor(tell) {
    this.tell = tell
  }

  get all() {
    return [...this.#all.values()].sort((one, other) => one.at - other.at)
  }

  /** @param {Wish} wish @param {number} [frameBytes] 0: no limit */
  add(wish, frameBytes = FRAME_BYTES) {
    const text = wish.content ?? wish.emoji ?? ""
    if (!text.isWellFormed()) throw new Refused("bad_field", "It has half a character.")
    this.#lastAt = Math.max(Date.now(), this.#lastAt + 0.001) // it says their order
    const nonce = randomId()
    /** @type {Write} */
    const write = {
      ...wish, nonce, at: this.#lastAt, owner: "", state: "waiting", tried: false,
    }
    const bytes = bytesOf(write)
    if (frameBytes && bytes > frameBytes) throw new Refused("too_long", "It is too long.")
    const others = this.all.reduce((sum, one) => sum + bytesOf(one), 0)
    if (this.#all.size >= COUNT_MAX || others + bytes > BYTES_MAX) {
      throw new Refused("full", "Too much waits to be sent.")
    }
    const pending = this.#promise(write)
    this.#put(write)
    return pending
  }

  /** @param {Write} write */
  #promise(write) {
    /** @type {any} */
    const promised = { write }
    const stored = new Promise((resolve) => (promised.stored = resolve))
    const acked = new Promise((resolve, reject) => {
      Object.assign(promised, { acked: resolve, failed: reject })
    })
    acked.catch(() => {}) // who looks at the outbox need not look at this
    this.#promised.set(write.nonce, promised)
    return { nonce: write.nonce, stored, acked }
  }

  /** @param {Write} write */
  #put(write) {
    this.changed([write], [])
    this.tell.post({ t: "write", write })
  }

  /** What a failed one was about. @param {string} nonce @returns {Wish} */
  failed(nonce) {
    const write = this.#all.get(nonce)
    if (write?.state !== "failed") throw new Refused("bad_field", "No such write has failed.")
    const { kind, ch, content, of, emoji, on } = write
    return { kind, ch, content, of, emoji, on }
  }

  /** @param {string} nonce */
  discard(nonce) {
    const write = this.#all.get(nonce)
    if (write?.tried && write.state !== "failed") throw new Refused("unknown", "It is under way.")
    this.tell.post({ t: "discard", nonce })
  }

  // --- what the engine says

  /** It is another one, and this is what it has. @param {Write[]} kept */
  again(kept) {
    const nonces = new Set(kept.map(({ nonce }) => nonce))
    this.changed(kept, [...this.#all.keys()].filter((nonce) => !nonces.has(nonce)))
    // What it does not have was not kept, or has been answered: with its nonce it tells.
    for (const [nonce, { write }] of this.#promised) if (!nonces.has(nonce)) this.#put(write)
  }

  /** @param {Write[]} changed @param {string[]} gone */
  changed(changed, gone) {
    for (const nonce of gone) this.#all.delete(nonce)
    for (const write of changed) {
      this.#all.set(write.nonce, write)
      const { state, error, nonce } = write
      if (state !== "failed" || !error) continue
      this.#promised.get(nonce)?.failed(new Refused(error.code, error.message, error))
      this.#promised.delete(nonce)
    }
    if (changed.length || gone.length) this.tell.emit("outbox", { changed, gone })
  }

  /** @param {string} nonce */
  stored(nonce) {
    this.#promised.get(nonce)?.stored()
  }

  /** @param {{nonce: string}} ack */
  acked(ack) {
    this.#promised.get(ack.nonce)?.acked(ack)
    this.#promised.delete(ack.nonce)
  }

  /** @param {Refused} why */
  fail(why) {
    for (const { failed } of this.#promised.values()) failed(why)
  }
}
