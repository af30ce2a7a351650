// @ts-check
/**
 * One socket, from its opening to its end.
 *
 * Owns: the handshake, the numbers of requests, and noticing that a link is dead: browsers show
 * nobody the server's pings, and a cable or a laptop that sleeps closes nothing. Must never: wait
 * for the closing handshake; nobody may be there to answer it. Lost with it: who asked what.
 */

/**
 * @typedef {{heartbeatMs: number | null, probeMs: number, wokenMs: number, lateMs: number,
 *   tickMs: number, helloMs: number, answerMs: number, backOffMs: number,
 *   backOffMaxMs: number}} Times
 * @typedef {{code: number, livedMs: number, hintMs: number, problem: string}} End
 * @typedef {(answer: any) => void} Asked what to do with the answer: `ok`, `ack` or `error`
 */

/** @type {Times} heartbeatMs null: as hello has it. */
export const TIMES = {
  heartbeatMs: null,
  probeMs: 10_000, // for any frame after a ping
  wokenMs: 5_000, // the same, when the machine has slept
  lateMs: 5_000, // a tick that comes so late: it has
  tickMs: 1_000,
  helloMs: 10_000, // for all up to hello
  answerMs: 30_000, // for a write; the server gives up itself after ten seconds
  backOffMs: 500,
  backOffMaxMs: 30_000,
}
const LOST = 1006
const REFS = 2 ** 53

let refs = 0 // over all sockets, so that no answer is taken for another's

const now = () => performance.now()

export class Link {
  /** @type {any} */
  hello = null
  leaving = false // after bye, and at the end: nothing more is sent
  /** @type {Map<number, Asked>} */
  #waiting = new Map()
  #ended = false
  #helloAt = 0
  #heardAt = now()
  #tickedAt = now()
  #probedUntil = 0 // when something must have come after our ping; 0: none is under way
  #probes = 0 // unanswered ones
  #hintMs = 0
  #problem = ""
  #openedAt = now()

  /**
   * @param {URL} root
   * @param {string} token
   * @param {{WebSocket: typeof WebSocket, times: Times}} means
   * @param {{frame: (frame: any, link: Link) => void, end: (end: End) => void,
   *   isOverdue: (ms: number) => boolean}} on
   */
  constructor(root, token, { WebSocket, times }, on) {
    const url = new URL("ws", root)
    url.protocol = url.protocol.replace("http", "ws")
    this.times = times
    this.on = on
    this.#socket = new WebSocket(url, "rtchat.v1")
    this.#socket.onopen = () => this.send({ t: "auth", token })
    this.#socket.onmessage = ({ data }) => this.#take(String(data))
    this.#socket.onclose = ({ code }) => this.#end(code)
    this.#socket.onerror = () => setTimeout(() => this.#end(LOST)) // Node 20 never says `close`
    this.#timer = setInterval(() => this.#tick(), times.tickMs)
  }
  #socket
  #timer

  /** Send a frame; its answer goes to whoever asked. @param {any} frame @param {Asked} [asked] */
  send(frame, asked) {
    if (this.leaving || this.#socket.readyState !== 1) return
    const ref = (refs = (refs + 1) % REFS)
    if (asked) this.#waiting.set(ref, asked)
    this.#socket.send(JSON.stringify({ ...frame, ref }))
  }

  /** A frame that has no answer. @param {object} frame */
  tell(frame) {
    if (!this.leaving && this.#socket.readyState === 1) this.#socket.send(JSON.stringify(frame))
  }

  /** End it now. @param {number} [code] as which it counts */
  drop(code = LOST) {
    this.#socket.close(1000)
    this.#end(code)
  }

  /** The machine may have slept, or the network is another one: see at once. */
  wake() {
    if (this.#helloAt && !this.#probedUntil) this.#probe(this.times.wokenMs)
  }

  /** @param {number} code */
  #end(code) {
    if (this.#ended) return
    this.#ended = this.leaving = true
    clearInterval(this.#timer)
    this.#socket.onopen = this.#socket.onmessage = this.#socket.onclose = null
    const livedMs = this.#helloAt ? now() - this.#helloAt : 0
    this.on.end({ code, livedMs, hintMs: this.#hintMs, problem: this.#problem })
  }

  /** @param {string} text */
  #take(text) {
    this.#heardAt = now()
    this.#probedUntil = this.#probes = 0
    const frame = JSON.parse(text)
    const asked = this.#waiting.get(frame.ref)
    if (frame.t === "hello") {
      this.hello = frame
      this.#helloAt = now()
    } else if (frame.t === "bye") {
      this.leaving = true
      this.#hintMs = frame.in
    } else if (frame.t === "error" && !this.#helloAt) {
      this.#hintMs = frame.after ?? 0 // a close follows, whose code says what to do
      this.#problem = frame.message
    }
    if (asked && ["ok", "ack", "error"].includes(frame.t)) {
      this.#waiting.delete(frame.ref)
      asked(frame)
    } else {
      this.on.frame(frame, this)
    }
  }

  #tick() {
    const at = now()
    const woken = at - this.#tickedAt > this.times.lateMs
    this.#tickedAt = at
    if (!this.#helloAt) {
      if (at - this.#openedAt > this.times.helloMs) this.drop()
      return
    }
    const heartbeatMs = this.times.heartbeatMs ?? this.hello.heartbeat * 1000
    if (this.#probedUntil && at > this.#probedUntil) {
      // After a sleep the answer may wait to be read; in a hidden tab all ticks are late.
      if (!woken || this.#probes > 1) this.drop()
      else this.#probe(this.times.wokenMs)
    } else if (this.on.isOverdue(this.times.answerMs)) {
      this.drop()
    } else if (!this.#probedUntil && (woken || at - this.#heardAt > heartbeatMs)) {
      this.#probe(woken ? this.times.wokenMs : this.times.probeMs)
    }
  }

  /** @param {number} ms */
  #probe(ms) {
    this.#probedUntil = now() + ms
    this.#probes++
    this.send({ t: "ping" })
  }
}
