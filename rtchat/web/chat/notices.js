// @ts-check
/**
 * Notifications of the desktop, for whoever asks for them on this device.
 *
 * Owns: that choice. Must never: ask for permission unless somebody pressed the button. Several
 * tabs tell of the same message under one tag, and it is shown once.
 */

import { h, icon, say } from "./dom.js"

const TEXT_MAX = 140

export class Notices {

  /** @param {import("./chat.js").Chat} chat */
  constructor(chat) {
    this.chat = chat
    this.key = `rtchat.notices ${chat.session.root.pathname}`
    chat.client.addEventListener("entry", ({ detail }) => this.#tell(detail))
  }

  get isOn() {
    const isAllowed = typeof Notification !== "undefined" && Notification.permission === "granted"
    return isAllowed && localStorage.getItem(this.key) === "on"
  }

  /** @param {any} entry */
  #tell(entry) {
    const { chat } = this
    const isSeen = document.visibilityState === "visible" && document.hasFocus()
    if (entry.t !== "msg" || entry.user === chat.me || isSeen || !this.isOn) return
    const channel = chat.channels.all.get(entry.ch)
    if (!channel || Date.now() - entry.ts > 60_000) return
    const where = channel.type === "dm" ? "" : ` in #${chat.title(channel)}`
    const options = { body: entry.content.slice(0, TEXT_MAX), tag: `rtchat ${entry.ch}` }
    try {
      const shown = new Notification(`${chat.people.name(entry.user)}${where}`, options)
      shown.onclick = () => {
        window.focus()
        chat.opened.open(entry.ch)
        shown.close()
      }
    } catch {
      // Phones show notifications from service workers only; there is none here.
    }
  }

  /** The button that turns them on and off. */
  button() {
    const button = h("button", { type: "button", class: "button" }, icon("bell"), h("span"))
    const draw = () => say(button.lastElementChild, this.isOn ? "No notifications" : "Notify me")
    button.hidden = typeof Notification === "undefined"
    button.addEventListener("click", async () => {
      if (this.isOn) localStorage.removeItem(this.key)
      else if ((await Notification.requestPermission()) === "granted") localStorage.setItem(this.key, "on")
      draw()
    })
    draw()
    return button
  }
}
