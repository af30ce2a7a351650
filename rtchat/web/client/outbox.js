// @ts-check
/**
 * The writes that have no answer yet: kept, sent in order, sent again until there is one.
 *
 * Owns: the order of a channel's writes; one is under way at a time. Must never: send a write
 * before it is kept, change one, or let a later one overtake. Lost in a crash: a write that was made
 * in its last milliseconds, before its `stored`.
 */

import { ended, heldNames } from "./locks.js"
import { Pace } from "./pace.js"

export const COUNT_MAX = 1_000
export const BYTES_MAX = 4_000_000
const AGE_MAX_MS = 7 * 86_400_000

/**
 * @typedef {"send" | "edit" | "del" | "react"} Kind
 * @typedef {{nonce: string, ch: number, kind: Kind, content?: string, of?: number,
 *   emoji?: string, on?: boolean, at: number, owner: string, state: "waiting" | "sent" | "failed",
 *   tried: boolean, error?: {code: string, message: string, field: string}}} Write
 * @typedef {{write: Write, kept: boolean, tries: number, sentAt: number, underWay: boolean}} Kept
 */

const now = () => performance.now()

/** What goes over the wire. @param {Partial<Write>} write */
export function frameOf({ kind, ch, content, of, emoji, on, nonce }) {
  return { t: kind, ch, of, content, emoji, on, nonce }
}

/** @param {Partial<Write>} write with the longest `ref` */
export function bytesOf(write) {
  const frame = { ...frameOf(write), ref: Number.MAX_SAFE_INTEGER }
  return new TextEncoder().encode(JSON.stringify(frame)).length
}

export class Outbox {
  /** @type {Map<string, Kept>} by nonce, the oldest first */
  #all = new Map()
  /** @type {Map<number, Kept[]>} of channels with something to send; the next one first */
  #lanes = new Map()
  /** @type {((frame: object, asked: (answer: any) => void) => void) | null} null: not now */
  #send = null
  #frameBytes = 0
  /** @type {Set<string>} whose end is waited for */
  #owners = new Set()
  #loaded = false
  /** @type {Promise<void>} */
  #adopting = Promise.resolve()
  #pace = new Pace(0)
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer

  /**
   * @param {string} owner this engine, as its lock is named
   * @param {import("../rtchat.js").WriteStore} store
   * @param {{outbox: (changed: Write[], gone: string[]) => void, acked: (ack: object) => void,
   *   stored: (nonce: string) => void, fault: (what: string, error: unknown) => void}} tell
   */
  constructor(owner, store, tell) {
    this.owner = owner
    this.store = store
    this.tell = tell
  }

  get writes() {
    return [...this.#all.values()].map(({ write }) => write)
  }

  /** Take over what was kept and belongs to nobody that lives. */
  adopt() {
    this.#adopting = this.#adopting.then(() => this.#adopt())
    return this.#adopting
  }

  async #adopt() {
    try {
      const found = /** @type {Write[]} */ (await this.store.all())
      const living = found.length ? await heldNames() : new Set()
      const orphans = found
        .filter(({ owner }) => owner !== this.owner && !living.has(owner))
        .filter(({ nonce }) => !this.#all.has(nonce))
        .sort((one, other) => one.at - other.at)
      for (const orphan of orphans) {
        await this.store.put(Object.assign(orphan, { owner: this.owner }))
        if (orphan.state === "sent") orphan.state = "waiting"
      }
      this.#insert(orphans)
      if (orphans.length) this.tell.outbox(orphans, [])
      for (const { owner } of found) if (living.has(owner)) this.#inherit(owner)
    } catch (error) {
      this.tell.fault("the outbox was not read", error)
    }
    this.#loaded = true
    this.#pump()
  }

  /** Take over as soon as another engine ends. @param {string} owner its lock */
  async #inherit(owner) {
    if (owner === this.owner || this.#owners.has(owner)) return
    this.#owners.add(owner)
    await ended(owner)
    this.#owners.delete(owner)
    await this.adopt()
  }

  /** @param {Write[]} orphans older than all that is here and was not tried */
  #insert(orphans) {
    const kept = orphans.map((write) => {
      return { write, kept: true, tries: 0, sentAt: 0, underWay: false }
    })
    const mine = [...this.#all.values()]
    this.#all = new Map([...kept, ...mine].map((one) => [one.write.nonce, one]))
    for (const one of kept.reverse()) {
      if (one.write.state === "failed") continue
      const lane = this.#laneOf(one.write.ch)
      lane.splice(lane[0]?.tries ? 1 : 0, 0, one)
    }
  }

  /** @param {number} ch */
  #laneOf(ch) {
    let lane = this.#lanes.get(ch)
    if (!lane) this.#lanes.set(ch, (lane = []))
    return lane
  }

  /** Keep a new write, then send it when it is its turn. @param {Write} write */
  async add(write) {
    const known = this.#all.get(write.nonce)
    if (known) {
      if (known.kept) this.tell.stored(write.nonce)
      return
    }
    write.owner = this.owner
    const one = { write, kept: false, tries: 0, sentAt: 0, underWay: false }
    this.#all.set(write.nonce, one)
    this.#laneOf(write.ch).push(one)
    this.tell.outbox([write], [])
    await this.#keep({ ...write, tried: true }) // after a crash it may have been
    one.kept = true
    this.tell.stored(write.nonce)
    this.#pump()
  }

  /** @param {Write} write */
  async #keep(write) {
    try {
      await this.store.put(write)
    } catch (error) {
      this.tell.fault("a write is in memory only", error)
    }
  }

  /** Forget one that failed, or that was never sent. @param {string} nonce */
  discard(nonce) {
    const one = this.#all.get(nonce)
    if (!one || (one.write.tried && one.write.state !== "failed")) return
    this.#remove(one)
    this.#pump()
  }

  // --- the socket comes and goes

  /** At hello: send what is here. @param {{frameBytes: number, sendsPerSecond: number}} limits
   * @param {(frame: object, asked: (answer: any) => void) => void} send */
  begin(limits, send) {
    this.end()
    this.#frameBytes = limits.frameBytes
    this.#send = send
    this.#pace = new Pace(limits.sendsPerSecond)
    this.#pump()
  }

  /** At bye: send no more, but take the answers that come. */
  pause() {
    this.#send = null
    clearTimeout(this.#timer)
  }

  /** The socket is gone, and of it nothing is under way any more. */
  end() {
    this.pause()
    const changed = []
    for (const [one] of this.#lanes.values()) if (one.underWay) changed.push(this.#back(one))
    this.#pace.underWay = 0
    if (changed.length) this.tell.outbox(changed, [])
  }

  /** @param {Kept} one @returns {Write} */
  #back(one) {
    one.underWay = false
    one.write.state = "waiting"
    return one.write
  }

  /** Whether an answer should have come by now. @param {number} ms */
  isOverdue(ms) {
    const firsts = [...this.#lanes.values()].map(([one]) => one)
    return firsts.some(({ underWay, sentAt }) => underWay && now() - sentAt > ms)
  }

  // --- answers

  /** @param {Kept} one @param {any} answer */
  #answered(one, answer) {
    if (!one.underWay) return // of a socket that is gone
    one.underWay = false
    this.#pace.underWay--
    if (answer.t === "ack") {
      const { nonce, ch } = one.write
      this.#pace.acked()
      this.tell.acked({ nonce, ch, seq: answer.seq, ts: answer.ts, dup: answer.dup ?? false })
      this.#remove(one)
    } else if (answer.retry) {
      this.#pace.refused(one.write.ch, one.tries, answer) // it stays in its place
      this.tell.outbox([this.#back(one)], [])
    } else {
      this.#fail(one, answer)
    }
    this.#pump()
  }

  /** @param {Kept} one @param {{code: string, message: string, field?: string}} error */
  #fail(one, { code, message, field = "" }) {
    this.#leaveLane(one)
    Object.assign(one.write, { state: "failed", error: { code, message, field } })
    this.#keep({ ...one.write })
    this.tell.outbox([one.write], [])
  }

  /** @param {Kept} one */
  #remove(one) {
    this.#leaveLane(one)
    const { nonce } = one.write
    this.#all.delete(nonce)
    this.store.delete(nonce).catch((error) => this.tell.fault("a write is kept too long", error))
    this.tell.outbox([], [nonce])
  }

  /** @param {Kept} one */
  #leaveLane(one) {
    const lane = this.#lanes.get(one.write.ch)
    const place = lane?.indexOf(one) ?? -1
    if (!lane || place < 0) return
    lane.splice(place, 1)
    if (!lane.length) this.#lanes.delete(one.write.ch)
  }

  // --- when to send

  /** Send what may be sent: of each channel the oldest, in turn. @returns {void} */
  #pump() {
    clearTimeout(this.#timer)
    if (!this.#send || !this.#loaded) return
    let again = Infinity
    const changed = []
    for (const [ch, lane] of [...this.#lanes]) {
      const [one] = lane
      if (one.underWay || !one.kept) continue
      if (this.#isHopeless(one)) return this.#pump()
      if (this.#pace.isFull) break
      const from = this.#pace.from(ch)
      if (from > now()) {
        again = Math.min(again, from)
        continue
      }
      this.#lanes.delete(ch) // behind the others
      this.#lanes.set(ch, lane)
      changed.push(this.#start(one))
    }
    if (changed.length) this.tell.outbox(changed, [])
    if (again < Infinity) this.#timer = setTimeout(() => this.#pump(), again - now() + 1)
  }

  /** @param {Kept} one @returns {Write} */
  #start(one) {
    one.underWay = true
    one.tries++
    one.sentAt = now()
    this.#pace.sent()
    Object.assign(one.write, { state: "sent", tried: true })
    this.#send?.(frameOf(one.write), (answer) => this.#answered(one, answer))
    return one.write
  }

  /** It is too old, or a limit has changed: fails it. @param {Kept} one */
  #isHopeless(one) {
    const { write } = one
    const isLong = this.#frameBytes > 0 && bytesOf(write) > this.#frameBytes
    if (!isLong && Date.now() - write.at < AGE_MAX_MS) return false
    const message = isLong ? "It is too long." : "It has waited for too long."
    const code = write.tried ? "unknown" : isLong ? "too_long" : "expired"
    this.#fail(one, { code, message })
    return true
  }
}
