// @ts-check
/** The console: examples to choose and edit, a socket to send them on, and the list of frames. */

import { el } from "./dom.js"
import { Link, TOKEN } from "./link.js"
import { Refused, ask, session } from "./session.js"
import { Transcript, parsed } from "./transcript.js"

const CHANNEL_NAME = "console" // of a channel that is made to try things in

/**
 * @typedef {import("./document.js").Frame} Frame
 * @typedef {import("./link.js").State} State
 */

/** A nonce that nobody has. */
function newNonce() {
  return Math.random().toString(36).slice(2, 10)
}

/**
 * A frame as it makes sense here; what `here` leaves out stays as it is.
 * @param {Record<string, any>} frame
 * @param {{ref?: number, channel?: number, epoch?: string, seq?: number, token?: string}} here
 */
export function fitted(frame, { ref, channel, epoch, seq, token }) {
  const made = { ...frame }
  if (ref && "ref" in made) made.ref = ref
  if (ref && "nonce" in made) made.nonce = newNonce()
  if (token && "token" in made) made.token = token
  if (seq && "of" in made) made.of = seq
  if (epoch && "epoch" in made) made.epoch = epoch
  if (epoch === "") delete made.epoch // of an example: no server has it
  if (channel && "ch" in made) made.ch = inShapeOf(made.ch, channel)
  return made
}

/** A channel as a number, in a list, or as a key; as it was. @param {any} ch @param {number} id */
function inShapeOf(ch, id) {
  if (Array.isArray(ch)) return [id]
  return ch instanceof Object ? { [id]: Object.values(ch)[0] ?? null } : id
}

export class Console {
  #transcript = new Transcript()
  #ref = 1
  #listedFor = 0 // the user whose channels are offered
  #state = el("p", { class: "state", role: "status" }, "Not connected.")
  #connect = el("button", { type: "button", class: "first" }, "Connect")
  #disconnect = el("button", { type: "button", disabled: true }, "Disconnect")
  #withAuth = el("input", { type: "checkbox", checked: true })
  #example = el("select", { id: "example" })
  #channel = el("input", { type: "number", min: 1, value: 1, list: "channels" })
  #channels = el("datalist", { id: "channels" })
  #newChannel = el("button", { type: "button", "aria-label": "New channel" }, "New")
  #editor = el("textarea", {
    id: "editor",
    rows: 7,
    spellcheck: "false",
    autocapitalize: "off",
    autocomplete: "off",
    "aria-describedby": "editor-told",
  })
  #told = el("p", { class: "told", id: "editor-told", role: "status" })
  #send = el("button", { class: "first", disabled: true }, "Send")

  /**
   * @param {HTMLElement} place
   * @param {Frame[]} frames
   * @param {import("./link.js").Closes} closes
   */
  constructor(place, frames, closes) {
    this.place = place
    this.choices = frames
      .filter((frame) => frame.from === "client")
      .flatMap((frame) => frame.examples.map((example, nth) => ({ t: frame.t, example, nth })))
    this.link = new Link(this.#transcript, closes, (state, words) => this.#turn(state, words))
    this.#build()
    this.#listen()
    this.#fill()
    this.#listChannels()
  }

  /** Put a frame's first example into the editor, and go there. @param {Frame} frame */
  choose(frame) {
    this.#example.value = String(this.choices.findIndex(({ t }) => t === frame.t))
    this.#fill()
    this.place.scrollIntoView({ block: "nearest" })
    this.#editor.focus()
  }

  #build() {
    this.#example.append(
      ...this.choices.map(({ t, nth }, at) =>
        el("option", { value: at }, nth ? `${t} (${nth + 1})` : t),
      ),
    )
    const form = el(
      "form",
      { method: "post", onsubmit: (event) => this.#submit(event) },
      el(
        "div",
        { class: "row" },
        el("label", { for: "example" }, "Frame"),
        this.#example,
        el("label", {}, el("span", {}, "Channel"), this.#channel),
        this.#channels,
        this.#newChannel,
      ),
      el("label", { for: "editor", class: "unseen" }, "Frame to send"),
      this.#editor,
      this.#told,
      el(
        "div",
        { class: "row" },
        this.#send,
        el(
          "span",
          { class: "quiet hint" },
          "Ctrl+Enter sends. ",
          el("code", {}, TOKEN),
          " is your access token.",
        ),
      ),
    )
    this.place.replaceChildren(
      el("h2", { id: "console-title" }, "Console"),
      el(
        "div",
        { class: "row" },
        this.#connect,
        this.#disconnect,
        el("label", {}, this.#withAuth, el("span", {}, "and send ", el("code", {}, "auth"))),
      ),
      this.#state,
      form,
      el(
        "div",
        { class: "row" },
        el("h3", {}, "Frames"),
        this.#transcript.counted,
        el("button", { type: "button", onclick: () => this.#transcript.clear() }, "Clear"),
      ),
      this.#transcript.pane,
    )
  }

  #listen() {
    this.#connect.onclick = () => this.link.connect(this.#withAuth.checked)
    this.#disconnect.onclick = () => this.link.close()
    this.#example.onchange = () => this.#fill()
    this.#channel.onchange = () => this.#refit({ channel: this.#channelId })
    this.#newChannel.onclick = () => this.#makeChannel()
    this.#editor.oninput = () => this.#check()
    this.#editor.onkeydown = (event) => {
      const sends = event.key === "Enter" && (event.ctrlKey || event.metaKey)
      if (sends && !this.#send.disabled) this.#submit(event)
    }
    session.addEventListener("change", () => this.#listChannels())
  }

  /** @param {State} state @param {string} words */
  #turn(state, words) {
    this.#state.textContent = words
    this.#state.dataset.state = state
    this.#connect.disabled = state !== "closed"
    this.#disconnect.disabled = state === "closed"
    this.#send.disabled = state === "closed" || state === "opening"
    if (state === "greeted") this.#goOn()
  }

  /** @param {Event} event */
  #submit(event) {
    event.preventDefault()
    this.link.send(this.#editor.value)
    this.#ref += 1
    this.#refit({ ref: this.#ref })
  }

  // --- the editor

  get #channelId() {
    return Number(this.#channel.value) || 1
  }

  /** @param {Record<string, any>} frame */
  #edit(frame) {
    this.#editor.value = JSON.stringify(frame, null, 2)
    this.#check()
  }

  /** The chosen example into the editor. */
  #fill() {
    const choice = this.choices[Number(this.#example.value)]
    const { epoch, seq } = this.link
    const here = { ref: this.#ref, channel: this.#channelId, token: TOKEN, epoch, seq }
    if (choice) this.#edit(fitted(choice.example, here))
  }

  /**
   * Change parts of what stands there; what is no frame stays.
   * @param {Parameters<typeof fitted>[1]} here
   */
  #refit(here) {
    const frame = parsed(this.#editor.value)
    if (frame instanceof Object && !Array.isArray(frame)) this.#edit(fitted(frame, here))
  }

  /** Signed in: the next frame is another one. */
  #goOn() {
    if (parsed(this.#editor.value)?.t !== "auth") return
    this.#example.value = String(this.choices.findIndex(({ t }) => t !== "auth"))
    this.#fill()
  }

  #check() {
    const isJson = parsed(this.#editor.value) !== undefined
    this.#told.textContent = isJson ? "" : "This is no JSON; the server will say so too."
  }

  // --- channels to try things in

  async #listChannels() {
    this.#newChannel.disabled = !session.token
    const userId = session.held?.user.id ?? 0
    if (userId === this.#listedFor) return // new tokens, or still nobody
    this.#listedFor = userId
    this.#channels.replaceChildren()
    if (!userId) return
    const { items } = await ask(
      "GET",
      "channels?scope=mine&limit=20",
      undefined,
      session.token,
    ).catch(() => ({ items: [] }))
    this.#channels.replaceChildren(
      ...items.map(({ id, name }) => el("option", { value: id, label: name ?? "dm" })),
    )
    if (items.length && !items.some(({ id }) => String(id) === this.#channel.value)) {
      this.#channel.value = String(items[0].id)
      this.#refit({ channel: this.#channelId })
    }
  }

  async #makeChannel() {
    try {
      const wanted = { name: CHANNEL_NAME, type: "private" }
      const channel = await ask("POST", "channels", wanted, session.token)
      this.#channel.value = String(channel.id)
      this.#transcript.add("note", `made the private channel ${channel.id}, "${channel.name}"`)
      this.#refit({ channel: this.#channelId })
    } catch (error) {
      const words = error instanceof Refused ? error.message : "The server is out of reach."
      this.#transcript.add("note", `no new channel: ${words}`, true)
    }
  }
}
