// @ts-check
/**
 * What a page holds of the live connection: its cursors, its events, and its view of the outbox.
 *
 * Owns: this tab's cursors, and what it waits for. Must never: tell an entry twice or out of order,
 * or take a write as failed that may be stored. An engine (in a worker, or here) has the socket;
 * should it end, the next one is told all that this tab follows and has written.
 */

import { BYTES_MAX, COUNT_MAX, bytesOf } from "./outbox.js"
import { Refused } from "./refused.js"
import { ended, hold, locks, randomId, sleep } from "./locks.js"
import { reach } from "./reach.js"

const FRAME_BYTES = 65_536 // until hello
const TYPING_MS = 3_000 // between two words of typing in a channel
const DEAD_MS = 500 // before an engine that has ended is looked for again

/**
 * @typedef {import("../rtchat.js").Standing} Standing
 * @typedef {{cursor: number | null, epoch: string | null, waiting: Asker[]}} Followed
 * @typedef {{told: (ch: number, standing: Standing) => void, failed: (why: Refused) => void}} Asker
 * @typedef {import("./outbox.js").Write} Write
 * @typedef {{write: Write, stored: () => void, acked: (ack: any) => void,
 *   failed: (why: Refused) => void}} Promised
 */

export class Client extends EventTarget {
  /** @type {import("../rtchat.js").State} */
  state = { name: "stopped" }
  shared = false
  /** @type {string | null} */
  epoch = null
  /** @type {any} */
  hello = null
  #user = 0
  #running = false
  /** @type {MessagePort | null} */
  #port = null
  /** @type {AbortController | null} of this joining */
  #joining = null
  /** @type {Map<number, Followed>} */
  #followed = new Map()
  /** @type {Map<string, Write>} */
  #outbox = new Map()
  /** @type {Map<string, Promised>} */
  #promised = new Map()
  #bytes = 0
  #lastAt = 0
  /** @type {Map<number, number>} */
  #typedAt = new Map()

  /** @param {{session: import("./session.js").Session, share?: boolean, times?: object,
   *   WebSocket?: typeof WebSocket, store?: import("../rtchat.js").WriteStore}} options */
  constructor({ session, share = true, times, WebSocket, store }) {
    super()
    this.session = session
    this.#share = share
    this.#times = times
    this.#own = { ...(WebSocket && { WebSocket }), ...(store && { store }) }
    session.addEventListener("change", () => this.#see())
    if (typeof window === "undefined") return
    addEventListener("online", () => this.retryNow())
    addEventListener("pagehide", ({ persisted }) => persisted && this.#leave())
    addEventListener("pageshow", ({ persisted }) => persisted && this.#running && this.#join())
    document.addEventListener("visibilitychange", () => {
      if (document.visibilityState === "visible") this.#post({ t: "wake", now: false })
    })
  }
  #share
  #times
  #own

  // --- coming and going

  start() {
    const { user } = this.session
    if (this.#running && this.state.name !== "ended") return
    if (!user) return this.#end("signed_out", this.session.ended || "Nobody is signed in.")
    if (this.#user && this.#user !== user.id) this.#forget()
    this.#user = user.id
    this.#running = true
    this.#turn({ name: "connecting" })
    this.#join()
  }

  stop() {
    if (!this.#running) return
    this.#running = false
    this.#leave()
    this.#rejectAskers(new Refused("stopped", "The client was stopped."))
    this.#turn({ name: "stopped" })
  }

  retryNow() {
    this.#post({ t: "wake", now: true })
  }

  async #join() {
    this.#leave()
    const joining = (this.#joining = new AbortController())
    const { signal } = joining
    const lock = `rtchat tab ${randomId()}`
    const release = await hold(lock)
    if (signal.aborted) return release()
    signal.addEventListener("abort", release)
    const options = { root: this.session.root.href, user: this.#user, times: this.#times }
    const take = (/** @type {any} */ message, /** @type {MessagePort} */ port) => {
      if (signal.aborted) return
      this.#port = port
      this.#events[message.t]?.(message, signal)
    }
    const shared = await reach(this.#share, options, this.#own, { t: "join", lock }, take)
    if (!signal.aborted) this.shared = shared
  }

  #leave() {
    this.#joining?.abort()
    this.#joining = null
    this.#post({ t: "leave" })
    this.#port?.close()
    this.#port = null
  }

  /** @param {object} message */
  #post(message) {
    this.#port?.postMessage(message)
  }

  /** Somebody signed in or out, perhaps in another tab. */
  #see() {
    const { user, ended } = this.session
    if (!this.#running || user?.id === this.#user) return
    this.#leave()
    if (user) this.#end("another_user", "Somebody else has signed in.")
    else this.#end("signed_out", ended || "Signed out.")
  }

  /** @param {string | number} code @param {string} why */
  #end(code, why) {
    this.#running = false
    this.#rejectAskers(new Refused(String(code), why))
    this.#turn({ name: "ended", code, why })
  }

  /** Another user: nothing of the one before is left here. */
  #forget() {
    const why = new Refused("unknown", "Somebody else has signed in.")
    for (const { failed } of this.#promised.values()) failed(why)
    this.#promised.clear()
    this.#outbox.clear()
    this.#followed.clear()
    this.#bytes = 0
    this.epoch = this.hello = null
  }

  // --- what the engine says

  /** @type {Record<string, (message: any, signal: AbortSignal) => void>} */
  #events = {
    welcome: (message, signal) => this.#welcome(message, signal),
    state: ({ state }) => this.#take(state),
    token: (message) => this.#give(message),
    hello: ({ hello }) => {
      this.hello = hello
      this.#emit("hello", hello)
    },
    standing: (message) => this.#stands(message),
    entry: ({ entry }) => this.#entry(entry),
    reset: ({ ch, head, epoch }) => {
      this.#followed.delete(ch)
      this.epoch = epoch
      this.#emit("reset", { ch, head })
    },
    removed: ({ ch, reason }) => {
      for (const { told } of this.#followed.get(ch)?.waiting ?? []) told(ch, { error: "not_found" })
      this.#followed.delete(ch)
      this.#emit("removed", { ch, reason })
    },
    outbox: ({ changed, gone }) => this.#changed(changed, gone),
    stored: ({ nonce }) => this.#promised.get(nonce)?.stored(),
    ack: ({ ack }) => {
      this.#emit("ack", ack)
      this.#promised.get(ack.nonce)?.acked(ack)
      this.#promised.delete(ack.nonce)
    },
    added: ({ ch, channel }) => this.#emit("added", { ch, channel }),
    typing: ({ ch, user }) => this.#emit("typing", { ch, user }),
    read: ({ ch, user, seq }) => this.#emit("read", { ch, user, seq }),
    presence: ({ user, status }) => this.#emit("presence", { user, status }),
    fault: ({ what, message }) => this.#emit("fault", { what, message }),
  }

  /** @param {any} welcome @param {AbortSignal} signal */
  #welcome({ lock, state, hello, outbox }, signal) {
    this.#watch(lock, signal)
    const kept = new Set(outbox.map((/** @type {Write} */ write) => write.nonce))
    this.#changed(outbox, [...this.#outbox.keys()].filter((nonce) => !kept.has(nonce)))
    this.#sub([...this.#followed.keys()])
    // What the engine does not have was not kept, or was answered: with its nonce it tells.
    for (const { write } of this.#promised.values()) {
      if (!this.#outbox.has(write.nonce)) this.#put(write)
    }
    if (hello) this.#events.hello({ hello }, signal)
    if (state.name !== "stopped" && state.name !== "ended") this.#take(state)
  }

  /** Look for another engine when this one has ended. @param {string} lock @param {AbortSignal} signal */
  async #watch(lock, signal) {
    if (!locks) return
    try {
      await ended(lock, signal)
      await sleep(DEAD_MS)
    } catch {
      return // it was left
    }
    if (!signal.aborted) this.#join()
  }

  /** @param {import("../rtchat.js").State} state */
  #take(state) {
    if (state.name !== "ended") return this.#turn(state)
    const { code, why } = state
    this.#leave()
    this.#end(code, why)
    if (code === 4004) this.session.renew().catch(() => {}) // which finds out, and tells `change`
  }

  /** @param {import("../rtchat.js").State} state */
  #turn(state) {
    if (state.name === "connecting" && this.state.name === "connecting") return
    this.state = state
    this.#emit("state", state)
  }

  /** @param {{id: number, not: string}} ask */
  async #give({ id, not }) {
    try {
      this.#post({ t: "token", id, token: await this.session.token(not) })
    } catch (error) {
      const { code = "", message, retry = true, retryAfterMs = 0 } = /** @type {any} */ (error)
      this.#post({ t: "token", id, error: { code, message, retry, retryAfterMs } })
    }
  }

  /** @param {string} name @param {any} detail */
  #emit(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }))
  }

  // --- channels

  /**
   * @param {Record<number, number | null>} cursors @param {string | null} [epoch]
   * @returns {Promise<Record<number, Standing>>}
   */
  subscribe(cursors, epoch = this.epoch) {
    if (!this.#running) return Promise.reject(new Refused("stopped", "The client is not started."))
    const channels = Object.keys(cursors).map(Number)
    /** @type {Record<number, Standing>} */
    const answer = {}
    const left = new Set(channels)
    return new Promise((resolve, reject) => {
      const asker = {
        told: (/** @type {number} */ ch, /** @type {Standing} */ standing) => {
          answer[ch] = standing
          if (left.delete(ch) && !left.size) resolve(answer)
        },
        failed: reject,
      }
      if (!left.size) return resolve(answer)
      for (const ch of channels) {
        const waiting = [...(this.#followed.get(ch)?.waiting ?? []), asker]
        this.#followed.set(ch, { cursor: cursors[ch], epoch, waiting })
      }
      this.#sub(channels)
    })
  }

  /** @param {number[]} channels */
  #sub(channels) {
    const places = channels.map((ch) => {
      const { cursor, epoch } = /** @type {Followed} */ (this.#followed.get(ch))
      return [ch, cursor, epoch]
    })
    if (places.length) this.#post({ t: "sub", places })
  }

  /** @param {Iterable<number>} channels */
  unsubscribe(channels) {
    const left = [...channels]
    const why = new Refused("stopped", "It was unsubscribed.")
    for (const ch of left) {
      for (const { failed } of this.#followed.get(ch)?.waiting ?? []) failed(why)
      this.#followed.delete(ch)
    }
    this.#post({ t: "unsub", channels: left })
  }

  cursors() {
    /** @type {Record<number, number>} */
    const known = {}
    for (const [ch, { cursor }] of this.#followed) if (cursor !== null) known[ch] = cursor
    return known
  }

  /** @param {{ch: number, cursor: number, head: number, epoch: string, error?: string}} message */
  #stands({ ch, cursor, head, epoch, error }) {
    this.epoch = epoch
    const followed = this.#followed.get(ch)
    if (!followed) return
    const { waiting } = followed
    if (error) this.#followed.delete(ch)
    else this.#followed.set(ch, { cursor, epoch, waiting: [] })
    for (const { told } of waiting) told(ch, error ? { error } : { head })
    if (error && !waiting.length) this.#emit(...lost(ch, error))
  }

  /** @param {any} entry */
  #entry(entry) {
    const followed = this.#followed.get(entry.ch)
    if (!followed || followed.cursor === null || entry.seq !== followed.cursor + 1) return
    followed.cursor = entry.seq
    this.#emit("entry", entry)
  }

  /** @param {Refused} why */
  #rejectAskers(why) {
    for (const followed of this.#followed.values()) {
      for (const { failed } of followed.waiting) failed(why)
      followed.waiting = []
    }
  }

  // --- writes

  /** @param {number} ch @param {string} content */
  send(ch, content) {
    return this.#write({ kind: "send", ch, content })
  }

  /** @param {number} ch @param {number} of @param {string} content */
  edit(ch, of, content) {
    return this.#write({ kind: "edit", ch, of, content })
  }

  /** @param {number} ch @param {number} of */
  remove(ch, of) {
    return this.#write({ kind: "del", ch, of })
  }

  /** @param {number} ch @param {number} of @param {string} emoji @param {boolean} [on] */
  react(ch, of, emoji, on = true) {
    return this.#write({ kind: "react", ch, of, emoji, on })
  }

  get outbox() {
    return [...this.#outbox.values()]
  }

  /** @param {string} nonce */
  retry(nonce) {
    const { kind, ch, content, of, emoji, on } = this.#failed(nonce)
    const pending = this.#write({ kind, ch, content, of, emoji, on }, nonce)
    this.discard(nonce)
    return pending
  }

  /** @param {string} nonce */
  discard(nonce) {
    const write = this.#outbox.get(nonce)
    if (write?.tried && write.state !== "failed") throw new Refused("unknown", "It is under way.")
    this.#post({ t: "discard", nonce })
  }

  /** @param {string} nonce @returns {Write} */
  #failed(nonce) {
    const write = this.#outbox.get(nonce)
    if (write?.state !== "failed") throw new Refused("bad_field", "No such write has failed.")
    return write
  }

  /** @param {{kind: import("./outbox.js").Kind, ch: number, content?: string, of?: number, emoji?: string, on?: boolean}} what
   * @param {string} [instead] of one that is about to go */
  #write(what, instead) {
    if (!this.#running) throw new Refused("stopped", "The client is not started.")
    const text = what.content ?? what.emoji ?? ""
    if (!text.isWellFormed()) throw new Refused("bad_field", "It has half a character.")
    const nonce = randomId()
    const most = this.hello?.limits.frameBytes ?? FRAME_BYTES
    const bytes = bytesOf({ ...what, nonce })
    if (most && bytes > most) throw new Refused("too_long", "It is too long.")
    const count = this.#outbox.size - (instead ? 1 : 0)
    if (count >= COUNT_MAX || this.#bytes + bytes > BYTES_MAX) {
      throw new Refused("full", "Too much waits to be sent.")
    }
    /** @type {Write} */
    const write = { ...what, nonce, at: this.#now(), owner: "", state: "waiting", tried: false }
    const pending = this.#promise(write)
    this.#put(write)
    return pending
  }

  /** Later than the write before, as it says their order. */
  #now() {
    return (this.#lastAt = Math.max(Date.now(), this.#lastAt + 0.001))
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
    this.#changed([write], [])
    this.#post({ t: "write", write })
  }

  /** @param {Write[]} changed @param {string[]} gone */
  #changed(changed, gone) {
    for (const write of changed) {
      this.#bytes += bytesOf(write) - this.#bytesAt(write.nonce)
      this.#outbox.set(write.nonce, write)
      if (write.state === "failed") this.#settle(write)
    }
    for (const nonce of gone) {
      this.#bytes -= this.#bytesAt(nonce)
      this.#outbox.delete(nonce)
    }
    if (changed.length || gone.length) this.#emit("outbox", { changed, gone })
  }

  /** @param {string} nonce */
  #bytesAt(nonce) {
    const write = this.#outbox.get(nonce)
    return write ? bytesOf(write) : 0
  }

  /** @param {Write} write that failed */
  #settle({ nonce, error }) {
    const { code, message, field } = error ?? { code: "unknown", message: "", field: "" }
    this.#promised.get(nonce)?.failed(new Refused(code, message, { field }))
    this.#promised.delete(nonce)
  }

  // --- what is not kept

  /** @param {number} ch @param {number} seq */
  read(ch, seq) {
    this.#post({ t: "read", ch, seq })
  }

  /** @param {number} ch */
  typing(ch) {
    const at = performance.now()
    if (at - (this.#typedAt.get(ch) ?? -Infinity) < TYPING_MS) return
    this.#typedAt.set(ch, at)
    this.#post({ t: "typing", ch })
  }
}

/** A channel that was followed and cannot be any more. @param {number} ch @param {string} error
 * @returns {[string, object]} */
function lost(ch, error) {
  return error === "reset" ? ["reset", { ch, head: null }] : ["removed", { ch, reason: error }]
}
