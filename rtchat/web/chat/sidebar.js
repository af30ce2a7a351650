// @ts-check
/**
 * The sidebar: channels, direct messages, oneself. Drawn anew only where something is different.
 */

import { count, initials, colour, unreadTold } from "./format.js"
import { h, icon, iconButton, say, set } from "./dom.js"

/** @param {number} id @param {string} name */
export function avatar(id, name) {
  const text = initials(name)
  return h("span", { class: `avatar c${colour(id)}`, "aria-hidden": "true", "data-text": text })
}

export class Sidebar {
  #drawn = ""
  /** @type {Map<number, HTMLElement>} */
  #links = new Map()

  /**
   * @param {import("./chat.js").Chat} chat
   * @param {(name: "account" | "browse" | "create" | "write") => void} more opens a dialog
   * @param {(id: number) => void} go
   */
  constructor(chat, more, go) {
    this.chat = chat
    this.go = go
    this.rooms = h("ul.channels")
    this.dms = h("ul.channels")
    this.name = h("bdi")
    this.account = h("button.account", { title: "Your account", onclick: () => more("account") })
    const add = iconButton("plus", "New channel", () => more("create"))
    const find = iconButton("search", "Find channels to join", () => more("browse"))
    const write = iconButton("plus", "New direct message", () => more("write"))
    const logo = /** @type {HTMLLinkElement} */ (document.querySelector("link[rel=icon]")).href
    this.element = h(
      "nav.sidebar",
      { id: "sidebar", "aria-label": "Channels" },
      h("p.brand", {}, h("img", { src: logo, alt: "", width: 24, height: 24 }), "rtchat"),
      h(
        "div.lists",
        {},
        h("div.section", {}, h("h2", {}, "Channels"), find, add),
        this.rooms,
        h("div.section", {}, h("h2", {}, "Direct messages"), write),
        this.dms,
      ),
      this.account,
    )
  }

  draw() {
    const { channels, opened, me, people } = this.chat
    const drawn = `${channels.version} ${people.version} ${opened.id}`
    if (drawn === this.#drawn) return
    this.#drawn = drawn
    this.#list(this.rooms, channels.rooms, "None yet: find or make one with the buttons above.")
    this.#list(this.dms, channels.dms, "Write to somebody with the button above.")
    const name = people.name(me)
    if (this.name.textContent !== name) {
      this.name.textContent = name
      this.account.replaceChildren(avatar(me, name), h("span.name", {}, this.name), icon("more"))
    }
    for (const [id, link] of this.#links) {
      set(link, "aria-current", id === opened.id ? "page" : null)
      if (!channels.all.has(id)) this.#links.delete(id)
    }
  }

  /** @param {HTMLElement} list @param {any[]} channels @param {string} none */
  #list(list, channels, none) {
    const items = channels.map((channel) => this.#item(channel))
    if (!items.length && this.chat.channels.loaded) items.push(h("li.none", {}, none))
    items.forEach((item, index) => {
      if (list.children[index] !== item) list.insertBefore(item, list.children[index] ?? null)
    })
    while (list.children.length > items.length) list.lastElementChild?.remove()
  }

  /** @param {import("./channels.js").Channel} channel */
  #item(channel) {
    const { id, type } = channel
    const link = this.#links.get(id) ?? this.#link(id, type)
    const [mark, name, badge] = link.children
    const unread = channel.unread ?? 0
    const title = this.chat.title(channel)
    const others = this.chat.channels.others.get(id)
    const isOnline = others?.some((user) => this.chat.people.online.has(user)) ?? false
    say(name.firstElementChild ?? name, title)
    if (type === "dm") this.#face(mark, title, others, isOnline)
    const kind = type === "private" ? ", private" : isOnline ? ", online" : ""
    set(link, "aria-label", title + kind + unreadTold(unread))
    set(badge, "data-text", count(unread))
    link.classList.toggle("unread", unread > 0)
    return link.parentElement ?? h("li", {}, link)
  }

  /**
   * @param {Element} mark @param {string} title
   * @param {number[] | undefined} others @param {boolean} isOnline
   */
  #face(mark, title, others, isOnline) {
    set(mark, "data-text", others && others.length > 1 ? others.length : initials(title))
    const seed = colour(others?.[0] ?? this.chat.me)
    mark.className = `mark small avatar c${seed}${isOnline ? " online" : ""}`
  }

  /** @param {number} id @param {string} type */
  #link(id, type) {
    const drawing = type !== "dm" && icon(type === "private" ? "lock" : "hash")
    const onclick = (/** @type {Event} */ event) => {
      event.preventDefault()
      this.go(id)
    }
    const link = h(
      "a.channel",
      { href: `#${id}`, onclick },
      h("span.mark", { "aria-hidden": "true" }, drawing),
      h("span.name", {}, h("bdi")),
      h("span.badge"),
    )
    this.#links.set(id, link)
    return link
  }
}
