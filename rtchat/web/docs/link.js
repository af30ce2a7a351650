// @ts-check
/**
 * The live socket of the console.
 *
 * Owns: the one socket, its authentication, and what is learned from its frames. Must never: let an
 * access token be seen; `$TOKEN` stands for it in what is typed and in the list of what was sent.
 */

import { parsed } from "./transcript.js"
import { ROOT, session } from "./session.js"

const SUBPROTOCOL = "rtchat.v1"
export const TOKEN = "$TOKEN"

/**
 * @typedef {"closed" | "opening" | "open" | "greeted"} State
 * @typedef {ReturnType<typeof import("./document.js").closesOf>} Closes
 */

/** Where the socket is. */
function address() {
  const url = new URL("ws", ROOT)
  url.protocol = url.protocol.replace("http", "ws")
  return url
}

export class Link {
  /** @type {State} */
  state = "closed"
  /** Learned from `hello`; empty before. */
  epoch = ""
  /** The seq of the last write that was acknowledged. */
  seq = 1
  /** @type {WebSocket | null} */
  #socket = null
  #userId = 0

  /**
   * @param {import("./transcript.js").Transcript} transcript
   * @param {Closes} closes
   * @param {(state: State, words: string) => void} onState
   */
  constructor(transcript, closes, onState) {
    this.transcript = transcript
    this.closes = closes
    this.onState = onState
    session.addEventListener("change", () => this.#renew())
  }

  /** @param {boolean} withAuth send `auth` as soon as it is open */
  connect(withAuth) {
    const socket = new WebSocket(address(), SUBPROTOCOL)
    this.#socket = socket
    this.#turn("opening", "Connecting …")
    this.transcript.add("note", `connecting to ${address()}`)
    socket.onopen = () => this.#opened(withAuth)
    socket.onmessage = ({ data }) => this.#came(String(data))
    socket.onclose = ({ code, reason }) => this.#closed(code, reason)
  }

  close() {
    this.#socket?.close(1000)
  }

  /** Send what was typed. @param {string} text */
  send(text) {
    this.transcript.add("out", text)
    this.#socket?.send(text.replaceAll(TOKEN, session.token))
  }

  /** @param {boolean} withAuth */
  #opened(withAuth) {
    if (withAuth && session.token) {
      this.#turn("open", "Connected, signing in …")
      this.#auth()
    } else {
      this.#turn("open", "Connected. The first frame must be auth, within some seconds.")
    }
  }

  #auth() {
    this.send(`{"t":"auth","ref":"auth","token":"${TOKEN}"}`)
  }

  /** Tokens were renewed: so is the socket's, or the server would close it. */
  #renew() {
    if (this.state === "greeted" && session.held?.user.id === this.#userId) this.#auth()
  }

  /** @param {string} text */
  #came(text) {
    this.transcript.add("in", text)
    const frame = parsed(text)
    if (frame?.t === "hello") {
      this.epoch = frame.epoch
      this.#userId = frame.user.id
      this.#turn("greeted", `Connected as ${frame.user.name}.`)
    } else if (frame?.t === "ack") {
      this.seq = frame.seq
    }
  }

  /** @param {number} code @param {string} reason */
  #closed(code, reason) {
    const known = this.closes.get(code)
    const name = known
      ? ` ${known.name.replaceAll("_", " ")}: ${known.todo}`
      : reason && ` ${reason}`
    // 1006 is the browser's own: there was no close frame, or no socket in the first place.
    const words = code === 1006 ? "closed 1006: cut off, or not let in" : `closed ${code}${name}`
    this.#socket = null
    this.transcript.add("note", words, code >= 1002)
    this.#turn("closed", `Not connected; ${words}.`)
  }

  /** @param {State} state @param {string} words */
  #turn(state, words) {
    this.state = state
    this.onState(state, words)
  }
}
