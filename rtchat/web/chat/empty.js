// @ts-check
/**
 * What somebody sees who is in no channel yet: what there is to join, or one click to begin.
 */

import { browse, create, line } from "./dialogs.js"
import { h, say } from "./dom.js"
import { words } from "./chat.js"

const OFFERED_MAX = 8

export class Empty {
  #asked = false

  /** @param {import("./chat.js").Chat} chat */
  constructor(chat) {
    this.chat = chat
    this.told = h("p", { role: "status" })
    this.bad = h("p", { class: "told bad", role: "alert" })
    this.list = h("ul", { class: "people" })
    this.buttons = h("div", { class: "foot" })
    this.heading = h("h1")
    this.element = h("div", { class: "empty" },
      h("div", { class: "card" }, this.heading, this.told, this.list, this.bad, this.buttons))
  }

  draw() {
    const { channels, opened, session } = this.chat
    const isNowhere = !opened.channel
    this.element.hidden = !isNowhere
    if (!isNowhere) {
      this.#asked = false
      return
    }
    if (!channels.loaded) {
      say(this.heading, "One moment")
      say(this.told, "Your channels are on their way …")
    } else if (!this.#asked && !channels.all.size) {
      this.#asked = true
      say(this.heading, `Welcome, ${session.user?.name}`)
      this.#look()
    }
  }

  async #look() {
    const { chat } = this
    const button = (/** @type {string} */ text, /** @type {string} */ kind, /** @type {() => void} */ onclick) =>
      h("button", { type: "button", class: `button ${kind}`, onclick }, text)
    try {
      const { items } = await chat.rest.channels("public", 0, OFFERED_MAX)
      this.list.replaceChildren(...items.map((channel) => line(chat, channel, () => {})))
      if (items.length) {
        say(this.told, "Join a channel to begin:")
        this.buttons.replaceChildren(
          button("Find more", "", () => browse(chat)), button("Make another", "", () => create(chat)))
      } else {
        say(this.told, "Nobody has made a channel here yet. Make the first one, and write in it.")
        this.buttons.replaceChildren(
          button("Make #general", "first", () => this.#make()), button("Choose another name", "", () => create(chat)))
      }
    } catch (error) {
      say(this.told, words(error))
      this.buttons.replaceChildren(button("Try again", "first", () => this.#look()))
    }
  }

  async #make() {
    try {
      await this.chat.create({ type: "public", name: "general" })
    } catch (error) {
      say(this.bad, words(error))
    }
  }
}
