// @ts-check
/**
 * What a page holds of the live connection: its state, its events, and what it asks for.
 *
 * Owns: joining an engine (in a worker, or here), which has the socket; should that one end, the
 * next is told all that this tab follows and has written. Must never: go on for another user.
 */

import { Places } from "./places.js"
import { Refused } from "./refused.js"
import { Writes } from "./writes.js"
import { ended, hold, locks, randomId, sleep } from "./locks.js"
import { reach } from "./reach.js"

const TYPING_MS = 3_000 // between two words of typing in a channel
const AGAIN_MS = 500 // before an engine that has ended is looked for again

/** @typedef {import("../rtchat.js").State} State */

export class Client extends EventTarget {
  /** @type {State} */
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
  /** @type {import("./places.js").Tell} */
  #tell = {
    emit: (name, detail) => this.dispatchEvent(new CustomEvent(name, { detail })),
    post: (message) => this.#port?.postMessage(message),
  }
  #places = new Places(this.#tell)
  #writes = new Writes(this.#tell)
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
      if (document.visibilityState === "visible") this.#tell.post({ t: "wake", now: false })
    })
  }
  #share
  #times
  #own

  // --- coming and going

  start() {
    const { user, ended } = this.session
    if (!user) return this.#end("signed_out", ended || "Nobody is signed in.")
    if (this.#running) return
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
    this.#places.fail(new Refused("stopped", "The client was stopped."))
    this.#turn({ name: "stopped" })
  }

  retryNow() {
    this.#tell.post({ t: "wake", now: true })
  }

  async #join() {
    this.#leave()
    const { signal } = (this.#joining = new AbortController())
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
    this.#tell.post({ t: "leave" })
    this.#port?.close()
    this.#port = null
  }

  /** Somebody signed in or out, perhaps in another tab. */
  #see() {
    const { user, ended } = this.session
    if (!this.#running || user?.id === this.#user) return
    if (user) this.#end("another_user", "Somebody else has signed in.")
    else this.#end("signed_out", ended || "Signed out.")
  }

  /** @param {string | number} code @param {string} why */
  #end(code, why) {
    this.#running = false
    this.#leave()
    this.#places.fail(new Refused(String(code), why))
    this.#turn({ name: "ended", code, why })
  }

  /** Another user: nothing of the one before is left here. */
  #forget() {
    this.#writes.fail(new Refused("unknown", "Somebody else has signed in."))
    this.#places = new Places(this.#tell)
    this.#writes = new Writes(this.#tell)
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
      this.#tell.emit("hello", hello)
    },
    standing: (message) => {
      this.epoch = message.epoch
      this.#places.stands(message)
    },
    entry: ({ entry }) => this.#places.takes(entry) && this.#tell.emit("entry", entry),
    reset: ({ ch, head, epoch }) => {
      this.epoch = epoch
      this.#places.over(ch, "reset")
      this.#tell.emit("reset", { ch, head })
    },
    removed: ({ ch, reason }) => {
      this.#places.over(ch, "not_found")
      this.#tell.emit("removed", { ch, reason })
    },
    outbox: ({ changed, gone }) => this.#writes.changed(changed, gone),
    stored: ({ nonce }) => this.#writes.stored(nonce),
    ack: ({ ack }) => {
      this.#tell.emit("ack", ack)
      this.#writes.acked(ack)
    },
    added: ({ ch, channel }) => this.#tell.emit("added", { ch, channel }),
    typing: ({ ch, user }) => this.#tell.emit("typing", { ch, user }),
    read: ({ ch, user, seq }) => this.#tell.emit("read", { ch, user, seq }),
    presence: ({ user, status }) => this.#tell.emit("presence", { user, status }),
    fault: ({ what, message }) => this.#tell.emit("fault", { what, message }),
  }

  /** @param {any} welcome @param {AbortSignal} signal */
  #welcome({ lock, state, hello, outbox }, signal) {
    if (locks) this.#watch(lock, signal)
    this.#places.again()
    this.#writes.again(outbox)
    if (hello) this.#events.hello({ hello }, signal)
    if (state.name !== "stopped" && state.name !== "ended") this.#turn(state)
  }

  /** Look for another engine when this one has ended. @param {string} lock @param {AbortSignal} signal */
  async #watch(lock, signal) {
    try {
      await ended(lock, signal)
      await sleep(AGAIN_MS)
    } catch {
      return // it was left
    }
    if (!signal.aborted) this.#join()
  }

  /** @param {State} state */
  #take(state) {
    if (state.name !== "ended") return this.#turn(state)
    this.#end(state.code, state.why)
    if (state.code === 4004) this.session.renew().catch(() => {}) // which finds out, and says so
  }

  /** @param {State} state */
  #turn(state) {
    if (state.name === "connecting" && this.state.name === "connecting") return
    this.state = state
    this.#tell.emit("state", state)
  }

  /** @param {{id: number, not: string}} ask */
  async #give({ id, not }) {
    try {
      this.#tell.post({ t: "token", id, token: await this.session.token(not) })
    } catch (error) {
      const { code = "", message, retry = true, retryAfterMs = 0 } = /** @type {any} */ (error)
      this.#tell.post({ t: "token", id, error: { code, message, retry, retryAfterMs } })
    }
  }

  // --- channels

  /** @param {Record<number, number | null>} cursors @param {string | null} [epoch] */
  async subscribe(cursors, epoch = this.epoch) {
    this.#mustRun()
    return this.#places.want(cursors, epoch)
  }

  /** @param {Iterable<number>} channels */
  unsubscribe(channels) {
    this.#places.leave([...channels])
  }

  cursors() {
    return this.#places.cursors
  }

  #mustRun() {
    if (!this.#running) throw new Refused("stopped", "The client is not started.")
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

  /** @param {import("./writes.js").Wish} wish */
  #write(wish) {
    this.#mustRun()
    return this.#writes.add(wish, this.hello?.limits.frameBytes)
  }

  get outbox() {
    return this.#writes.all
  }

  /** @param {string} nonce */
  retry(nonce) {
    const pending = this.#write(this.#writes.failed(nonce))
    this.#writes.discard(nonce)
    return pending
  }

  /** @param {string} nonce */
  discard(nonce) {
    this.#writes.discard(nonce)
  }

  // --- what is not kept

  /** @param {number} ch @param {number} seq */
  read(ch, seq) {
    this.#tell.post({ t: "read", ch, seq })
  }

  /** @param {number} ch */
  typing(ch) {
    const at = performance.now()
    if (at - (this.#typedAt.get(ch) ?? -Infinity) < TYPING_MS) return
    this.#typedAt.set(ch, at)
    this.#tell.post({ t: "typing", ch })
  }
}
