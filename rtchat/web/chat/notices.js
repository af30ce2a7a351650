// @ts-check
/**
 * Notifications of the desktop, for whoever asks for them on this device.
 *
 * Owns: that choice. Must never: ask for permission unless somebody pressed the button. Several
 * tabs tell of the same message under one tag, and it is shown once.
 */

import { h, say } from "./dom.js"

const TEXT_MAX = 140
const OLD_MS = 60_000 // what comes later than that after it was written is no news

/** @type {WeakSet<import("./chat.js").Chat>} */
const told = new WeakSet()

/** Tell of what comes while nobody looks. @param {import("./chat.js").Chat} chat */
export function notify(chat) {
  if (told.has(chat)) return
  told.add(chat)
  chat.client.addEventListener("entry", ({ detail: entry }) => {
    const isSeen = document.visibilityState === "visible" && document.hasFocus()
    const channel = chat.channels.all.get(entry.ch)
    const isNews = entry.t === "msg" && entry.user !== chat.me && Date.now() - entry.ts < OLD_MS
    if (isNews && !isSeen && channel && isOn(chat)) tell(chat, channel, entry)
  })
}

/**
 * @param {import("./chat.js").Chat} chat
 * @param {import("./channels.js").Channel} channel
 * @param {any} entry
 */
function tell(chat, channel, { ch, user, content }) {
  const where = channel.type === "dm" ? "" : ` in #${chat.title(channel)}`
  const options = { body: content.slice(0, TEXT_MAX), tag: `rtchat ${ch}` }
  try {
    const shown = new Notification(`${chat.people.name(user)}${where}`, options)
    shown.onclick = () => {
      window.focus()
      chat.opened.open(ch)
      shown.close()
    }
  } catch {
    // Phones show notifications of service workers only; there is none here.
  }
}

/** @param {import("./chat.js").Chat} chat */
function isOn(chat) {
  const isAllowed = typeof Notification !== "undefined" && Notification.permission === "granted"
  return isAllowed && chat.kept.get("notices") === true
}

/** The button that turns them on and off. @param {import("./chat.js").Chat} chat */
export function button(chat) {
  const made = h("button.button")
  const draw = () => say(made, isOn(chat) ? "No notifications" : "Notify me")
  made.hidden = typeof Notification === "undefined"
  made.addEventListener("click", async () => {
    const isWanted = !isOn(chat) && (await Notification.requestPermission()) === "granted"
    chat.kept.put("notices", isWanted)
    if (isWanted) notify(chat)
    draw()
  })
  draw()
  return made
}
