// @ts-check
/**
 * The sidebar: channels, direct messages, oneself. Drawn anew only where something is different.
 */

import { count, initials, colour, plural } from "./format.js"
import { h, icon, iconButton, say, set } from "./dom.js"

/** @param {number} id @param {string} name */
export function avatar(id, name) {
  return h("span", { class: `avatar c${colour(id)}`, "aria-hidden": "true" }, initials(name))
}

export class Sidebar {
  #drawn = ""
  /** @type {Map<string, HTMLElement>} */
  #links = new Map()

  /**
   * @param {import("./chat.js").Chat} chat
   * @param {(name: "account" | "browse" | "create" | "write") => void} more opens a dialog
   * @param {(id: number) => void} go
   */
  constructor(chat, more, go) {
    this.chat = chat
    this.go = go
    this.rooms = h("ul", { class: "channels" })
    this.dms = h("ul", { class: "channels" })
    this.account = h("button", { type: "button", class: "account", onclick: () => more("account") })
    const add = iconButton("plus", "New channel", () => more("create"))
    const find = iconButton("search", "Find channels to join", () => more("browse"))
    const write = iconButton("plus", "New direct message", () => more("write"))
    const logo = /** @type {HTMLLinkElement} */ (document.querySelector("link[rel=icon]")).href
    this.element = h("nav", { class: "sidebar", id: "sidebar", "aria-label": "Channels" },
      h("p", { class: "brand" }, h("img", { src: logo, alt: "", width: 24, height: 24 }), "rtchat"),
      h("div", { class: "lists" },
        h("div", { class: "section" }, h("h2", {}, "Channels"), find, add), this.rooms,
        h("div", { class: "section" }, h("h2", {}, "Direct messages"), write), this.dms),
      this.account)
  }

  draw() {
    const { channels, opened, me, people } = this.chat
    this.#list(this.rooms, channels.rooms, "None yet: find or make one with the buttons above.")
    this.#list(this.dms, channels.dms, "Write to somebody with the button above.")
    const name = people.get(me)?.name ?? this.chat.session.user?.name ?? ""
    if (this.#drawn !== name) {
      this.#drawn = name
      const words = h("span", { class: "name" }, h("bdi", {}, name))
      this.account.replaceChildren(avatar(me, name), words, icon("more"))
      set(this.account, "aria-label", `${name}: your account`)
    }
    for (const [key, link] of this.#links) {
      set(link, "aria-current", key === String(opened.id) ? "page" : null)
      if (!link.isConnected) this.#links.delete(key)
    }
  }

  /** @param {HTMLElement} list @param {any[]} channels @param {string} none */
  #list(list, channels, none) {
    const drawn = channels.map((channel) => this.#item(channel))
    if (!drawn.length && this.chat.channels.loaded) {
      drawn.push(this.#links.get(none) ?? this.#keep(none, h("li", { class: "none" }, none)))
    }
    drawn.forEach((item, index) => {
      if (list.children[index] !== item) list.insertBefore(item, list.children[index] ?? null)
    })
    while (list.children.length > drawn.length) list.lastElementChild?.remove()
  }

  /** @param {string} key @param {any} element */
  #keep(key, element) {
    this.#links.set(key, element)
    return element
  }

  /** @param {import("./channels.js").Channel} channel */
  #item(channel) {
    const key = String(channel.id)
    const link = this.#links.get(key) ?? this.#keep(key, this.#link(channel))
    const [mark, name, told, badge] = link.children
    const unread = channel.unread ?? 0
    const title = this.chat.title(channel)
    const others = this.chat.channels.others.get(channel.id)
    say(name.firstElementChild ?? name, title)
    if (channel.type === "dm") this.#face(mark, title, others)
    const isOnline = Boolean(others?.some((id) => this.chat.people.online.has(id)))
    mark.classList.toggle("online", isOnline)
    const kind = channel.type === "private" ? ", private" : isOnline ? ", online" : ""
    say(told, `${kind}${unread ? `, ${plural(unread, "unread message")}` : ""}`)
    say(badge, unread ? count(unread) : "")
    link.classList.toggle("unread", unread > 0)
    return link.parentElement ?? h("li", {}, link)
  }

  /** @param {any} mark @param {string} title @param {number[] | undefined} others */
  #face(mark, title, others) {
    const seed = others?.[0] ?? this.chat.me
    const text = others && others.length > 1 ? String(others.length) : initials(title)
    say(mark, text)
    set(mark, "class", `mark small avatar c${colour(seed)}${mark.matches(".online") ? " online" : ""}`)
  }

  /** @param {import("./channels.js").Channel} channel */
  #link(channel) {
    const { id, type } = channel
    const drawing = type === "dm" ? "" : icon(type === "private" ? "lock" : "hash")
    const mark = h("span", { class: "mark", "aria-hidden": "true" }, drawing)
    const onclick = (/** @type {Event} */ event) => {
      event.preventDefault()
      this.go(id)
    }
    return h("a", { href: `#${id}`, class: "channel", onclick },
      mark, h("span", { class: "name" }, h("bdi")), h("span", { class: "unseen" }),
      h("span", { class: "badge", "aria-hidden": "true" }))
  }
}
