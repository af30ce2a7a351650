// @ts-check
/**
 * The page of somebody who is signed in: its parts, their places, and when they are drawn.
 *
 * Owns: the one frame in which all that has changed is drawn, the address (#17 is channel 17), the
 * window's title, and keys that work everywhere. Must never: draw more than once a frame, however
 * much comes; nor wait for a frame that a hidden page does not get.
 */

import { Chat, words } from "./chat.js"
import { Client } from "../rtchat.js"
import { Composer } from "./composer.js"
import { connection } from "./connection.js"
import { h, icon, iconButton, say, set } from "./dom.js"
import { List } from "./list.js"
import { count, typing, unreadTold } from "./format.js"
import { Sidebar } from "./sidebar.js"

const HIDDEN_MS = 250 // between two drawings that nobody sees
const TICK_MS = 1000 // for words that change with time alone
const SLOW_TICKS = 60 // where nothing moves
const TOAST_MS = 7000
const NARROW = "(max-width: 760px)"

// What is not there at once is loaded when it is asked for.
const dialogs = () => import("./dialogs.js")
const MORE = {
  account: dialogs,
  browse: dialogs,
  create: dialogs,
  write: dialogs,
  details: () => import("./details.js"),
  newcomer: () => import("./newcomer.js"),
  stray: dialogs,
  notify: () => import("./notices.js"),
  tools: () => import("./tools.js"),
}

export class App {
  #due = false
  #open = 0 // the channel that was drawn last
  #welcomed = false
  #gone = new AbortController()

  /** @param {import("../rtchat.js").Session} session */
  constructor(session) {
    this.session = session
    this.chat = new Chat(
      session,
      new Client({ session }),
      () => this.change(),
      (text) => this.say(text),
    )
    const { chat } = this
    this.sidebar = new Sidebar(
      chat,
      (name) => this.more(name),
      (id) => this.#go(id),
    )
    this.list = new List(chat, {
      me: chat.me,
      name: (id) => chat.people.name(id),
      retry: (nonce) => chat.write((client) => client.retry(nonce)),
      discard: (nonce) => this.#discard(nonce),
      react: (seq, emoji, on) => chat.write((client, id) => client.react(id, seq, emoji, on)),
    })
    this.composer = new Composer(chat, () => this.list.toEnd())
    this.#build()
    this.#listen()
    if (chat.kept.get("notices")) this.more("notify")
    chat.start()
  }

  #build() {
    const details = () => this.more("details")
    this.mark = h("span.mark")
    this.title = h("h1")
    this.about = h("button.about", { onclick: details })
    this.menu = iconButton("menu", "Channels", () => this.#drawer(true), {
      "aria-expanded": "false",
      "aria-controls": "sidebar",
      class: "icon-button menu",
    })
    this.menu.append(h("span.badge"))
    this.state = h("p.connection", { role: "status" })
    this.typing = h("p.typing")
    this.toasts = h("div.toasts", { role: "alert" })
    this.top = h(
      "header.top",
      {},
      this.menu,
      this.mark,
      h("div.titles", {}, this.title, this.about),
      iconButton("people", "Members and settings", details),
    )
    this.talk = h("div.talk", {}, this.list.element, this.typing, this.composer.element)
    this.nowhere = h("div.nowhere")
    this.main = h("main", {}, this.top, this.state, this.talk, this.nowhere)
    const scrim = h("div.scrim", { onclick: () => this.#drawer(false) })
    this.frame = h("div.app", {}, this.sidebar.element, scrim, this.main)
    const skip = h("button.skip", { onclick: () => this.composer.focus() }, "Skip to writing")
    document.body.replaceChildren(skip, this.frame, this.toasts)
  }

  #listen() {
    const { signal } = this.#gone
    addEventListener("hashchange", ({ newURL }) => this.#goWhereItSays(newURL), { signal })
    addEventListener("focus", () => this.change(), { signal })
    addEventListener("blur", () => this.change(), { signal })
    addEventListener("keydown", (event) => this.#key(event), { signal })
    document.addEventListener("visibilitychange", () => this.#due && this.draw(), { signal })
    for (const name of ["pointerover", "focusin", "keydown"]) {
      const tools = (/** @type {Event} */ event) => this.more("tools", event)
      this.list.log.addEventListener(name, tools, { once: name !== "keydown" })
    }
    let ticks = 0
    const tick = setInterval(() => {
      const isMoving = this.chat.client.state.name !== "online" || this.typing.textContent
      if (isMoving || ++ticks % SLOW_TICKS === 0) this.change()
    }, TICK_MS)
    signal.addEventListener("abort", () => clearInterval(tick))
  }

  /** Leave the page to somebody else. */
  end() {
    this.#gone.abort()
    this.chat.stop()
    document.title = "rtchat"
  }

  /** Something is different: draw it in the next frame. */
  change() {
    if (this.#due) return
    this.#due = true
    const run = () => this.#due && this.draw()
    if (document.visibilityState === "hidden") setTimeout(run, HIDDEN_MS)
    else requestAnimationFrame(run)
  }

  draw() {
    this.#due = false
    if (this.#gone.signal.aborted) return
    const { chat } = this
    const { opened, channels, people } = chat
    if (channels.loaded && !opened.channel) this.#choose()
    const { channel } = opened
    this.top.hidden = this.talk.hidden = !channel
    this.nowhere.hidden = Boolean(channel)
    if (channel) this.#heading(channel)
    else this.#welcome()
    this.composer.draw()
    this.list.draw()
    this.sidebar.draw()
    chat.onDetails?.()
    connection(this.state, chat.client, this.session)
    say(this.typing, typing(people.typing(opened.id, Date.now()).map((id) => people.name(id))))
    if (this.#open !== opened.id) this.#arrived(opened.id)
    const title = channel
      ? `${channel.type === "dm" ? "" : "#"}${chat.title(channel)} – rtchat`
      : "rtchat"
    const { unread } = channels
    document.title = unread ? `(${unread}) ${title}` : title
    set(this.menu.lastChild, "data-text", count(unread))
    set(this.menu, "aria-label", `Channels${unreadTold(unread)}`)
  }

  /** @param {import("./channels.js").Channel} channel */
  #heading(channel) {
    const { chat } = this
    say(this.title, chat.title(channel))
    if (this.mark.dataset.type !== channel.type) {
      this.mark.dataset.type = channel.type
      this.mark.replaceChildren(
        icon(channel.type === "dm" ? "people" : channel.type === "private" ? "lock" : "hash"),
      )
    }
    say(this.about, chat.opened.counted)
  }

  /** Whoever is in no channel yet is shown how to begin. */
  #welcome() {
    const { channels } = this.chat
    if (!channels.loaded) say(this.nowhere, "Your channels are on their way …")
    else if (!this.#welcomed) this.more("newcomer")
    this.#welcomed = channels.loaded
  }

  /**
   * Load a part and use it.
   * @param {keyof typeof MORE} name @param {Event | number} [about] an event, or a channel's id
   */
  async more(name, about) {
    try {
      const part = /** @type {any} */ (await MORE[name]())
      part[name](this.chat, this, about)
    } catch (error) {
      this.say(words(error))
    }
  }

  // --- where one is

  /** @param {number} id */
  #go(id) {
    if (id === this.chat.opened.id) this.#drawer(false)
    this.chat.opened.open(id)
  }

  /** @param {string} url where one went; the address may be another one by now */
  #goWhereItSays(url) {
    const id = Number(new URL(url).hash.slice(1))
    if (this.chat.channels.all.has(id)) this.#go(id)
    else if (id) this.more("stray", id)
  }

  /** The one in the address, the one of last time, or any. */
  #choose() {
    const { all, rooms, dms } = this.chat.channels
    const asked = Number(location.hash.slice(1))
    if (asked && !this.#open && !all.has(asked)) this.more("stray", asked)
    const wanted = [asked, this.chat.kept.get("last")]
    this.chat.opened.open(wanted.find((one) => all.has(one)) ?? (rooms[0] ?? dms[0])?.id ?? 0)
  }

  /** @param {number} id */
  #arrived(id) {
    const isFirst = !this.#open
    this.#open = id
    if (!id) return
    this.#welcomed = false
    if (this.frame.classList.contains("drawn")) this.#drawer(false)
    this.chat.kept.put("last", id)
    if (location.hash !== `#${id}`)
      history[isFirst ? "replaceState" : "pushState"](null, "", `#${id}`)
    if (!matchMedia("(pointer: fine)").matches) return
    const dialog = isBusy() // it gives the focus back when it closes
    if (dialog) dialog.addEventListener("close", () => this.composer.focus(), { once: true })
    else this.composer.focus()
  }

  /** On a phone the sidebar comes in from the side. @param {boolean} isOpen */
  #drawer(isOpen) {
    this.frame.classList.toggle("drawn", isOpen)
    set(this.menu, "aria-expanded", String(isOpen))
    if (!matchMedia(NARROW).matches) return
    this.main.inert = isOpen
    const first = this.sidebar.element.querySelector("[aria-current], button")
    ;(isOpen ? first : this.menu)?.focus()
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    if (isBusy()) return
    const { channels, opened } = this.chat
    const step = { ArrowUp: -1, ArrowDown: 1 }[event.key]
    if (step && event.altKey && !event.ctrlKey && !event.metaKey) {
      event.preventDefault()
      opened.open(channels.beside(opened.id, step))
    } else if (event.key === "Escape") {
      if (this.frame.classList.contains("drawn")) this.#drawer(false)
      else this.composer.focus()
    } else if (event.key.length === 1 && !event.altKey && !event.ctrlKey && !event.metaKey) {
      if (document.activeElement === document.body) this.composer.focus() // and it goes there
    }
  }

  // --- words

  /** @param {string} nonce */
  #discard(nonce) {
    try {
      this.chat.client.discard(nonce)
    } catch (error) {
      this.say(words(error))
    }
  }

  /** Say something once. @param {string} text */
  say(text) {
    const toast = h("p.toast", {}, text)
    toast.append(iconButton("close", "Close", () => toast.remove()))
    this.toasts.append(toast)
    while (this.toasts.children.length > 3) this.toasts.firstElementChild.remove()
    setTimeout(() => toast.remove(), TOAST_MS)
  }
}

const isBusy = () => document.querySelector("dialog[open]")
