// @ts-check
/**
 * The page of somebody who is signed in: its parts, their places, and when they are drawn.
 *
 * Owns: the one frame in which all that has changed is drawn, the address (#17 is channel 17), the
 * window's title, and keys that work everywhere. Must never: draw more than once a frame, however
 * much comes; nor wait for a frame that a hidden page does not get.
 */

import { account, browse, create, write } from "./dialogs.js"
import { attempt, Tools } from "./tools.js"
import { Chat } from "./chat.js"
import { Client } from "../rtchat.js"
import { Composer } from "./composer.js"
import { Details } from "./details.js"
import { Empty } from "./empty.js"
import { h, icon, iconButton, say, set } from "./dom.js"
import { List } from "./list.js"
import { Notices } from "./notices.js"
import { plural, typing } from "./format.js"
import { Sidebar } from "./sidebar.js"
import { connection } from "./connection.js"

const HIDDEN_MS = 250 // between two drawings that nobody sees
const TICK_MS = 1000 // for words that change with time alone
const TOAST_MS = 7000

export class App {
  #due = false
  #wasOpen = 0
  #away = new AbortController()

  /** @param {import("../rtchat.js").Session} session */
  constructor(session) {
    this.session = session
    const change = () => this.change()
    this.chat = new Chat(session, new Client({ session }), change, (text) => this.say(text))
    const { chat } = this
    this.sidebar = new Sidebar(chat, {
      browse: () => browse(chat),
      create: () => create(chat),
      write: () => write(chat),
      account: () => account(chat, () => this.notices.button()),
      go: (id) => this.go(id),
    })
    this.list = new List(chat, {
      me: chat.me,
      name: (id) => chat.people.name(id),
      retry: (nonce) => attempt(chat, () => chat.client.retry(nonce)),
      discard: (nonce) => this.#discard(nonce),
      react: (seq, emoji, on) => this.tools.react(seq, emoji, on),
      start: () => this.#start(),
    })
    this.composer = new Composer(chat, () => this.list.toEnd())
    this.tools = new Tools(chat, this.list.log, (seq, content) => this.composer.edit(seq, content))
    this.empty = new Empty(chat)
    this.notices = new Notices(chat)
    this.#build()
    this.#listen()
    chat.start()
  }

  #build() {
    this.mark = h("span", { class: "mark" })
    this.title = h("h1", {}, "")
    this.about = h("button", { type: "button", class: "about", onclick: () => new Details(this.chat) })
    this.menu = iconButton("menu", "Channels", () => this.drawer(true), { "aria-expanded": "false", "aria-controls": "sidebar" })
    this.menu.classList.add("menu")
    this.state = h("p", { class: "connection", role: "status" })
    this.typing = h("p", { class: "typing" })
    this.toasts = h("div", { class: "toasts", role: "alert" })
    this.scrim = h("div", { class: "scrim", onclick: () => this.drawer(false) })
    this.details = iconButton("people", "Members and settings", () => new Details(this.chat))
    this.top = h("header", { class: "top" }, this.menu, this.mark,
      h("div", { class: "titles" }, this.title, this.about), this.details)
    this.main = h("main", { id: "main", tabindex: "-1" }, this.top, this.state,
      this.list.element, this.empty.element, this.typing, this.composer.element)
    this.frame = h("div", { class: "app" }, this.sidebar.element, this.scrim, this.main)
    const skip = h("a", { class: "skip", href: "#main", onclick: (/** @type {Event} */ event) => {
      event.preventDefault()
      this.composer.focus()
    } }, "Skip to writing")
    document.body.replaceChildren(skip, this.frame, this.toasts)
  }

  #listen() {
    const { signal } = this.#away
    const change = () => this.change()
    addEventListener("hashchange", () => this.#goWhereItSays(), { signal })
    addEventListener("focus", change, { signal })
    addEventListener("blur", change, { signal })
    addEventListener("keydown", (event) => this.#key(event), { signal })
    document.addEventListener("visibilitychange", () => this.#due && this.draw(), { signal })
    let ticks = 0
    const tick = setInterval(() => {
      const { chat } = this
      const isMoving = chat.client.state.name !== "online" || this.typing.textContent
      if (isMoving || ++ticks % 60 === 0) this.change()
    }, TICK_MS)
    signal.addEventListener("abort", () => clearInterval(tick))
  }

  /** Leave the page to somebody else. */
  end() {
    this.#away.abort()
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
    if (this.#away.signal.aborted) return
    const { chat } = this
    const { opened, channels } = chat
    if (channels.loaded && !opened.channel) this.#choose()
    const { channel } = opened
    this.frame.classList.toggle("nowhere", !channel)
    this.list.element.hidden = this.top.hidden = !channel
    this.empty.draw()
    this.composer.draw()
    if (channel) this.#heading(channel)
    this.list.draw()
    this.sidebar.draw()
    chat.onDetails?.()
    connection(this.state, chat.client, this.session)
    const names = channel ? chat.people.typing(opened.id, Date.now()).map((id) => chat.people.name(id)) : []
    say(this.typing, typing(names))
    if (this.#wasOpen !== opened.id) this.#arrived()
    this.#entitle(channel)
  }

  /** @param {import("./channels.js").Channel} channel */
  #heading(channel) {
    const { chat } = this
    const title = chat.title(channel)
    say(this.title, title)
    if (this.mark.dataset.type !== channel.type) {
      this.mark.dataset.type = channel.type
      this.mark.replaceChildren(icon(channel.type === "dm" ? "people" : channel.type === "private" ? "lock" : "hash"))
    }
    const { members } = chat.opened
    if (!members) return say(this.about, "Members")
    const online = members.items.filter(({ user }) => user.id === chat.me || chat.people.online.has(user.id))
    say(this.about, `${plural(members.items.length, "member")}${members.next ? " and more" : ""}, ${online.length} online`)
  }

  /** @param {import("./channels.js").Channel | undefined} channel */
  #entitle(channel) {
    const { unread } = this.chat.channels
    const title = channel ? `${channel.type === "dm" ? "" : "#"}${this.chat.title(channel)} – rtchat` : "rtchat"
    const told = unread ? `(${unread}) ${title}` : title
    if (document.title !== told) document.title = told
  }

  /** How a channel begins. */
  #start() {
    const { channel } = this.chat.opened
    if (!channel) return []
    const title = this.chat.title(channel)
    const text = channel.type === "dm"
      ? "This is the beginning of your conversation. Nobody else can read it."
      : channel.type === "private"
        ? "This is the beginning of a private channel. Only its members can read it."
        : "This is the beginning of the channel. Everybody can join and read it."
    return [h("h2", {}, channel.type === "dm" ? h("bdi", {}, title) : `#${title}`), h("p", {}, text)]
  }

  // --- where one is

  /** @param {number} id */
  go(id) {
    if (id === this.chat.opened.id) this.drawer(false)
    this.chat.opened.open(id)
  }

  #goWhereItSays() {
    const id = Number(location.hash.slice(1))
    if (this.chat.channels.all.has(id)) this.go(id)
  }

  /** The one in the address, the one of last time, or any. */
  #choose() {
    const { all, rooms, dms } = this.chat.channels
    const wanted = [location.hash.slice(1), localStorage.getItem(this.#last)].map(Number)
    const id = wanted.find((one) => all.has(one)) ?? (rooms[0] ?? dms[0])?.id ?? 0
    this.chat.opened.open(id)
  }

  get #last() {
    return `rtchat.last ${this.session.root.pathname} ${this.chat.me}`
  }

  #arrived() {
    const { id } = this.chat.opened
    const isFirst = !this.#wasOpen
    if (this.frame.classList.contains("drawn")) this.drawer(false)
    this.#wasOpen = id
    if (!id) return
    localStorage.setItem(this.#last, String(id))
    const hash = `#${id}`
    if (location.hash !== hash) history[isFirst ? "replaceState" : "pushState"](null, "", hash)
    if (matchMedia("(pointer: fine)").matches && !document.querySelector("dialog[open]")) this.composer.focus()
  }

  /** On a phone the sidebar comes in from the side. @param {boolean} isOpen */
  drawer(isOpen) {
    this.frame.classList.toggle("drawn", isOpen)
    set(this.menu, "aria-expanded", String(isOpen))
    if (!matchMedia("(max-width: 760px)").matches) return
    this.main.inert = isOpen
    if (isOpen) this.sidebar.element.querySelector("[aria-current], button")?.focus()
    else this.menu.focus()
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    if (document.querySelector("dialog[open]")) return
    const step = { ArrowUp: -1, ArrowDown: 1 }[event.key]
    if (step && event.altKey && !event.ctrlKey && !event.metaKey) {
      event.preventDefault()
      this.chat.opened.open(this.chat.channels.beside(this.chat.opened.id, step))
    } else if (event.key === "Escape") {
      if (this.frame.classList.contains("drawn")) this.drawer(false)
      else this.composer.focus()
    }
  }

  // --- words

  /** @param {string} nonce */
  #discard(nonce) {
    try {
      this.chat.client.discard(nonce)
    } catch (error) {
      this.say(String(/** @type {Error} */ (error).message))
    }
  }

  /** Say something once. @param {string} text */
  say(text) {
    const toast = h("p", { class: "toast" }, text)
    toast.append(iconButton("close", "Close", () => toast.remove()))
    this.toasts.append(toast)
    while (this.toasts.children.length > 3) this.toasts.firstElementChild.remove()
    setTimeout(() => toast.remove(), TOAST_MS)
  }
}
