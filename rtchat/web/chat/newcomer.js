// @ts-check
/**
 * What somebody sees who is in no channel yet: what there is to join, or one click to begin.
 */

import "./forms.js"
import { h, icon, say } from "./dom.js"
import { words } from "./chat.js"

const OFFERED_MAX = 8

/** @typedef {import("./chat.js").Chat} Chat */

/** @param {Chat} chat @param {import("./app.js").App} app */
export async function newcomer(chat, app) {
  const told = h("p", { role: "status" }, "One moment …")
  const bad = h("p.told bad", { role: "alert" })
  const list = h("ul.people")
  const buttons = h("div.foot")
  const heading = h("h1", {}, "Welcome, ", h("bdi", {}, chat.session.user?.name ?? ""))
  app.nowhere.replaceChildren(h("div.card", {}, heading, told, list, bad, buttons))

  /** @param {string} text @param {string} kind @param {() => void} onclick */
  const button = (text, kind, onclick) => h("button", { class: `button ${kind}`, onclick }, text)
  const make = async () => {
    try {
      chat.entered(await chat.rest.createChannel({ type: "public", name: "general" }))
    } catch (error) {
      say(bad, words(error))
    }
  }
  try {
    const { items } = await chat.rest.channels("public", 0, OFFERED_MAX)
    const other = button(items.length ? "Make another" : "Make one with another name", "", () =>
      app.more("create"),
    )
    const browse = button("Find more", "", () => app.more("browse"))
    const first = button("Make #general", "first", make)
    list.replaceChildren(...items.map((channel) => line(chat, channel)))
    const account = button("Your account", "narrow", () => app.more("account"))
    buttons.replaceChildren(items.length ? browse : first, other, account)
    say(
      told,
      items.length
        ? "Join a channel to begin:"
        : "Nobody has made a channel here yet. Make the first one, and write in it.",
    )
    if (document.activeElement === document.body) app.nowhere.querySelector("button").focus()
  } catch (error) {
    say(told, words(error))
    buttons.replaceChildren(button("Try again", "first", () => newcomer(chat, app)))
  }
}

/**
 * A public channel, to be joined or opened.
 * @param {Chat} chat @param {any} channel @param {() => void} [done]
 */
export function line(chat, channel, done) {
  const isMember = chat.channels.all.has(channel.id)
  const told = h("p.told bad", { role: "alert" })
  const name = isMember ? "Open" : "Join"
  const onclick = async () => {
    try {
      if (isMember) chat.opened.open(channel.id)
      else chat.entered(await chat.rest.join(channel.id))
      done?.()
    } catch (error) {
      say(told, words(error))
    }
  }
  const kind = isMember ? "button" : "button first"
  return h(
    "li",
    {},
    h("span.mark", {}, icon("hash")),
    h("span.name", {}, h("bdi", {}, channel.name), told),
    h("button", { class: kind, onclick, "aria-label": `${name} ${channel.name}` }, name),
  )
}
