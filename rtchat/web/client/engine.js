// @ts-check
/**
 * The live connection of one user, and the tabs that share it.
 *
 * Owns: the socket and its coming back, and the ports of the tabs; in a worker that they share, or
 * in the page itself. Must never: hold a token for longer than a socket (tabs give them), or outlive
 * its tabs. Lost with it: nothing that matters; tabs know their cursors, writes are in the store.
 */

import { Backoff, verdictOf, wordsOf } from "./backoff.js"
import { Follows } from "./follows.js"
import { Link, TIMES } from "./link.js"
import { ended, hold, locks, randomId } from "./locks.js"
import { Outbox } from "./outbox.js"
import { Tokens } from "./tokens.js"
import { writeStore } from "./store.js"

const ADOPT_MS = 60_000
const READS_MAX = 1_000

/**
 * @typedef {{port: MessagePort, gone: boolean, post: (message: object) => void}} Tab
 * @typedef {import("../rtchat.js").State} State
 * @typedef {import("./link.js").End} End
 */

export class Engine {
  /** @type {Set<Tab>} */
  #tabs = new Set()
  /** @type {State} */
  #state = { name: "stopped" }
  /** @type {Link | null} */
  #link = null
  #running = false
  #token = "" // of the socket, or the one that was refused
  #refused = "" // since the last hello
  /** @type {() => void} */
  #wake = () => {}
  /** @type {Promise<() => void> | null} */
  #held = null
  #tokens = new Tokens((question) => this.#tell(question))
  /** @type {Map<number, number>} how far was read, and not told yet */
  #reads = new Map()

  /**
   * @param {{root: string, user: number, times?: object, WebSocket?: typeof WebSocket,
   *   store?: import("../rtchat.js").WriteStore}} options
   */
  constructor({ root, user, times, WebSocket = globalThis.WebSocket, store }) {
    this.root = new URL(root)
    this.user = user
    this.means = { WebSocket, times: { ...TIMES, ...times } }
    this.lock = `rtchat engine ${randomId()}`
    this.backoff = new Backoff(this.means.times)
    this.follows = new Follows(this.means.times, (what, error) => this.#fault(what, error))
    this.outbox = new Outbox(this.lock, store ?? writeStore(`rtchat ${root} ${user}`), {
      outbox: (changed, gone) => this.#tell({ t: "outbox", changed, gone }),
      acked: (ack) => this.#tell({ t: "ack", ack }),
      stored: (nonce) => this.#tell({ t: "stored", nonce }),
      fault: (what, error) => this.#fault(what, error),
    })
    globalThis.addEventListener?.("online", () => this.#awake(true))
  }

  /** A tab comes. @param {MessagePort} port */
  connect(port) {
    /** @type {Tab} */
    const tab = { port, gone: false, post: (message) => port.postMessage(message) }
    port.onmessage = ({ data }) => this.#commands[data.t]?.(tab, data)
  }

  /** @type {Record<string, (tab: Tab, message: any) => void>} */
  #commands = {
    join: (tab, { lock }) => this.#join(tab, lock),
    leave: (tab) => this.#leave(tab),
    token: (_, answer) => this.#tokens.answered(answer),
    sub: (tab, { places }) => this.follows.want(tab, places),
    unsub: (tab, { channels }) => this.follows.leave(tab, channels),
    write: (_, { write }) => this.outbox.add(write),
    discard: (_, { nonce }) => this.outbox.discard(nonce),
    read: (_, { ch, seq }) => this.#read(ch, seq),
    typing: (_, { ch }) => this.#link?.tell({ t: "typing", ch }),
    wake: (_, { now }) => this.#awake(now),
  }

  /** @param {Tab} tab @param {string} lock that it holds for as long as it lives */
  async #join(tab, lock) {
    this.#held ??= hold(this.lock) // before a tab looks at it
    await this.#held
    if (tab.gone) return
    this.#tabs.add(tab)
    const { epoch } = this.follows
    const hello = this.#link?.hello ?? null
    const outbox = this.outbox.writes
    tab.post({ t: "welcome", lock: this.lock, state: this.#state, hello, epoch, outbox })
    for (const question of this.#tokens.questions) tab.post(question)
    if (locks) ended(lock).then(() => this.#leave(tab))
    if (!this.#running) this.#run()
  }

  /** @param {Tab} tab */
  #leave(tab) {
    tab.gone = true
    if (!this.#tabs.delete(tab)) return
    this.follows.leaveAll(tab)
    tab.port.close()
    if (this.#tabs.size) return
    this.#tokens.giveUp()
    this.#link?.drop(1000)
    this.#wake()
    if (!this.#running) this.#release()
  }

  /** Nobody needs it; what it has not sent may be another engine's. */
  #release() {
    this.#held?.then((release) => release())
    this.#held = null
  }

  /** @param {object} message */
  #tell(message) {
    for (const tab of this.#tabs) tab.post(message)
  }

  /** @param {string} what @param {unknown} error */
  #fault(what, error) {
    this.#tell({ t: "fault", what, message: String(error) })
  }

  /** @param {State} state */
  #turn(state) {
    this.#state = state
    this.#tell({ t: "state", state })
  }

  /** @param {boolean} now whether what waits is tried now */
  #awake(now) {
    this.#link?.wake()
    if (now) this.#wake()
  }

  /** At `expiring`: show a new token on the live socket. @param {Link} link */
  async #renew(link) {
    const { token, error } = await this.#tokens.ask(this.#token)
    if (error) return this.#fault("the sign-in was not renewed", error.message)
    this.#token = token
    link.send({ t: "auth", token }, ({ t, message }) => {
      if (t === "error") this.#fault("the sign-in was not renewed", message)
    })
  }

  // --- the socket comes and goes

  async #run() {
    this.#running = true
    await this.outbox.adopt()
    const adopting = setInterval(() => this.#heir(), ADOPT_MS)
    while (this.#tabs.size && (await this.#once()));
    clearInterval(adopting)
    this.#running = false
    if (!this.#tabs.size) {
      this.#turn({ name: "stopped" })
      this.#release()
    } else if (this.#state.name !== "ended") {
      this.#run() // somebody came at the last moment
    }
  }

  /** One connection and the wait after it. False: it is over. @returns {Promise<boolean>} */
  async #once() {
    if (this.#state.name !== "connecting") this.#turn({ name: "connecting" })
    const { token, error } = await this.#tokens.ask(this.#refused)
    if (!this.#tabs.size) return false
    if (!error) {
      this.#token = token
      return this.#after(await this.#serve(token))
    }
    if (!error.retry) return this.#over(error.code, error.message)
    return this.#wait(this.backoff.delay("later", error.retryAfterMs), error.message)
  }

  /** @param {string} token @returns {Promise<End>} */
  #serve(token) {
    return new Promise((end) => {
      this.#link = new Link(this.root, token, this.means, {
        frame: (frame, link) => this.#take(frame, link),
        end,
        isOverdue: (ms) => this.outbox.isOverdue(ms),
      })
    })
  }

  /** What to do after a close. @param {End} end @returns {Promise<boolean>} */
  async #after({ code, livedMs, hintMs, problem }) {
    this.#link = null
    this.outbox.end()
    this.follows.end()
    this.backoff.lived(livedMs)
    const verdict = verdictOf(code)
    if (!this.#tabs.size) return false
    if (verdict === "end" || (code === 4001 && this.#refused)) {
      return this.#over(code, problem || wordsOf(code))
    }
    if (verdict === "renew") this.#refused = this.#token
    this.#token = ""
    return this.#wait(this.backoff.delay(verdict, hintMs, code), wordsOf(code))
  }

  /** @param {number} ms @param {string} why @returns {Promise<boolean>} */
  async #wait(ms, why) {
    const name = globalThis.navigator?.onLine === false ? "offline" : "waiting"
    this.#turn({ name, retryAt: Date.now() + ms, why })
    await new Promise((resolve) => {
      const timer = setTimeout(resolve, ms)
      this.#wake = () => resolve(clearTimeout(timer))
    })
    return true
  }

  /** @param {string | number} code @param {string} why */
  #over(code, why) {
    this.#turn({ name: "ended", code, why })
    return false
  }

  // --- what the server says

  /** @param {any} frame @param {Link} link */
  #take(frame, link) {
    const event = this.#events[frame.t]
    if (event) event(frame, link)
    else if (Number.isInteger(frame.ch) && Number.isInteger(frame.seq)) this.#entry(frame, link)
  }

  /** @type {Record<string, (frame: any, link: Link) => void>} */
  #events = {
    hello: (frame, link) => this.#hello(frame, link),
    bye: () => this.outbox.pause(),
    expiring: (_, link) => this.#renew(link),
    reset: (frame) => this.follows.reset(frame),
    added: (frame) => this.#tell(frame),
    presence: (frame) => this.#tell(frame),
    typing: (frame) => this.#tellOf(frame),
    read: (frame) => this.#tell(frame),
    removed: (frame) => {
      this.follows.removed(frame.ch)
      this.#tell(frame)
    },
    error: ({ code, message }, { hello }) => hello && this.#fault(code, message),
    ok: () => {},
    ack: () => {},
    pong: () => {},
  }

  /** @param {any} hello @param {Link} link */
  #hello(hello, link) {
    if (hello.user.id !== this.user) {
      link.drop(4003)
      return
    }
    this.#refused = ""
    this.#tell({ t: "hello", hello })
    this.#turn({ name: "online" })
    this.follows.begin(link)
    this.outbox.begin(hello.limits, (frame, asked) => link.send(frame, asked))
    for (const [ch, seq] of this.#reads) link.tell({ t: "read", ch, seq })
    this.#reads.clear()
    this.#heir()
  }

  /** Without locks nobody knows who lives, and only what was there at first is taken over. */
  #heir() {
    if (locks && this.#link?.hello) this.outbox.adopt()
  }

  /** @param {any} entry @param {Link} link */
  #entry(entry, link) {
    if (this.follows.entry(entry)) return
    this.#fault("an entry is missing", `${entry.ch}:${entry.seq}`)
    link.drop() // and read the log again; never skip
  }

  /** @param {any} frame */
  #tellOf(frame) {
    for (const tab of this.follows.of(frame.ch)) tab.post(frame)
  }

  /** @param {number} ch @param {number} seq */
  #read(ch, seq) {
    if (this.#state.name === "online") return this.#link?.tell({ t: "read", ch, seq })
    if (this.#reads.size < READS_MAX) this.#reads.set(ch, Math.max(seq, this.#reads.get(ch) ?? 0))
  }
}
