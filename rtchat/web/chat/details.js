// @ts-check
/**
 * What a channel is: its people and their roles, its name, and the ways out of it.
 *
 * Owns: a dialog that follows the state while it is open. It offers what the asker may do; the
 * server decides.
 */

import { day } from "./format.js"
import { avatar } from "./sidebar.js"
import { confirm, dialog, field, form } from "./forms.js"
import { h, iconButton, say } from "./dom.js"
import { picker } from "./picker.js"
import { leads } from "./tools.js"
import { words } from "./chat.js"

const ROLES = /** @type {const} */ (["member", "admin", "owner"])
const MINUTE_MS = 60_000
const ORDER = /** @type {Record<string, number>} */ ({ owner: 0, admin: 1, member: 2 })

/** How long ago, in one word or two. @param {number} ms @param {number} now */
function ago(ms, now) {
  const minutes = Math.max(0, Math.round((now - ms) / MINUTE_MS))
  if (minutes < 2) return "just now"
  if (minutes < 60) return `${minutes} minutes ago`
  if (minutes < 120) return "an hour ago"
  if (minutes < 1440) return `${Math.floor(minutes / 60)} hours ago`
  return day(ms, now).toLowerCase() === "yesterday" ? "yesterday" : `on ${day(ms, now)}`
}

/** @param {import("./chat.js").Chat} chat */
export const details = (chat) => new Details(chat)

class Details {
  #drawn = ""

  /** @param {import("./chat.js").Chat} chat */
  constructor(chat) {
    this.chat = chat
    this.id = chat.opened.id
    const channel = this.channel
    const isDm = channel?.type === "dm"
    this.told = h("p.told bad", { role: "alert" })
    this.list = h("ul.people members")
    this.counted = h("h3")
    this.more = h("button.button", { hidden: true, onclick: () => this.#page() }, "More members")
    const parts = [
      this.told,
      isDm ? null : this.#add(),
      this.counted,
      this.list,
      this.more,
      isDm ? null : this.#ways(),
    ]
    this.box = dialog(channel ? chat.title(channel) : "", ...parts)
    this.box.element.addEventListener("close", () => (this.chat.onDetails = null))
    chat.onDetails = () => this.draw()
    this.#run(() => chat.opened.meet(this.id))
  }

  get channel() {
    return this.chat.channels.all.get(this.id)
  }

  draw() {
    const { channel, chat } = this
    if (!channel || chat.opened.id !== this.id) return this.box.close()
    const members = chat.opened.members
    say(this.box.heading, chat.title(channel))
    if (!members) return
    const { online } = chat.people
    say(this.counted, chat.opened.counted)
    this.more.hidden = !members.next
    const state = JSON.stringify([members.items, [...online], channel.role])
    if (this.#drawn === state) return
    this.#drawn = state
    const held = document.activeElement?.getAttribute("data-focus")
    const sorted = [...members.items].sort(
      (a, b) => ORDER[a.role] - ORDER[b.role] || a.user.name.localeCompare(b.user.name),
    )
    this.list.replaceChildren(...sorted.map((member) => this.#member(member)))
    if (held) this.list.querySelector(`[data-focus="${held}"]`)?.focus()
  }

  /** @param {any} member */
  #member({ user, role }) {
    const { chat, channel } = this
    const isMe = user.id === chat.me
    const isOnline = isMe || chat.people.online.has(user.id)
    const seen = user.lastActive && `last seen ${ago(Date.parse(user.lastActive), Date.now())}`
    const words = [
      isOnline ? "online" : seen,
      channel?.type !== "dm" && role !== "member" && role,
      user.status,
    ]
    const face = avatar(user.id, user.name)
    face.classList.toggle("online", isOnline)
    const name = h(
      "span.name",
      {},
      h("bdi", {}, user.name),
      isMe ? " (you)" : "",
      h("span.told", {}, words.filter(Boolean).join(" · ")),
    )
    const mayAct = leads(channel) && !isMe && role !== "owner"
    return h(
      "li",
      {},
      face,
      name,
      mayAct && this.#role(user, role),
      !isMe &&
        channel?.type !== "dm" &&
        h(
          "button.button",
          {
            "data-focus": `w${user.id}`,
            onclick: () => this.#write(user),
            "aria-label": `Message ${user.name}`,
          },
          "Message",
        ),
      mayAct &&
        iconButton("close", `Remove ${user.name}`, () => this.#remove(user), {
          "data-focus": `x${user.id}`,
        }),
    )
  }

  /** @param {any} user @param {"owner" | "admin" | "member"} role */
  #role(user, role) {
    const offered = ROLES.slice(0, this.channel?.role === "owner" ? 3 : 2)
    const select = h(
      "select",
      { "aria-label": `Role of ${user.name}`, "data-focus": `r${user.id}` },
      ...offered.map((one) => h("option", { value: one, selected: one === role }, one)),
    )
    select.addEventListener("change", () => {
      const chosen = select.value
      if (chosen !== "owner") return this.#set(user, chosen)
      select.value = role
      confirm({
        title: `Hand the channel over to ${user.name}?`,
        text: "You become an admin. Only the new owner can give it back.",
        button: "Hand over",
        act: () => this.#set(user, "owner"),
      })
    })
    return select
  }

  /** @param {any} user @param {any} role */
  async #set(user, role) {
    await this.#run(async () => {
      await this.chat.rest.setRole(this.id, user.id, role)
      if (role === "owner")
        this.chat.channels.put(/** @type {any} */ (await this.chat.rest.channel(this.id)))
      await this.chat.opened.meet(this.id)
    })
  }

  /** @param {any} user */
  #remove(user) {
    const back = this.channel?.type === "public" ? ", but can join again" : ""
    confirm({
      title: `Remove ${user.name}?`,
      text: `${user.name} will not see this channel any more${back}.`,
      button: "Remove",
      act: async () => {
        await this.chat.rest.removeMember(this.id, user.id)
        await this.chat.opened.meet(this.id)
      },
    })
  }

  /** @param {any} user */
  #write(user) {
    this.#run(async () => {
      this.chat.entered(await this.chat.rest.createChannel({ type: "dm", members: [user.id] }))
      this.box.close()
    })
  }

  #page() {
    this.#run(() => this.chat.opened.meet(this.id, this.chat.opened.members?.next ?? 0))
  }

  #add() {
    return picker(this.chat, {
      label: "Add people",
      verb: "Add",
      without: () => new Set(this.chat.opened.members?.items.map(({ user }) => user.id)),
      choose: async (user) => {
        await this.chat.rest.addMember(this.id, user.id)
        await this.chat.opened.meet(this.id)
      },
    }).element
  }

  /** Rename, leave, delete. */
  #ways() {
    const { channel, chat, id } = this
    const title = channel?.name ?? ""
    const leave = h("button", { class: "button" }, "Leave the channel")
    leave.addEventListener("click", () =>
      confirm({
        title: `Leave ${title}?`,
        text:
          channel?.type === "private"
            ? "You can come back only if a member adds you."
            : "You can join again at any time.",
        button: "Leave",
        act: () => this.#leave(),
      }),
    )
    if (!leads(channel)) return h("div.foot", {}, leave)
    const name = field({
      label: "Name of the channel",
      name: "name",
      value: title,
      maxlength: 80,
      autocomplete: "off",
    })
    const rename = form({
      fields: [name],
      button: "Rename",
      submit: () => this.#rename(name.value().trim()),
    })
    const erase = h("button", { class: "button danger" }, "Delete the channel")
    erase.addEventListener("click", () =>
      confirm({
        title: `Delete ${title}?`,
        text: "The channel and all of its messages go, for everybody. This cannot be undone.",
        button: "Delete",
        act: async () => {
          await chat.rest.deleteChannel(id)
          chat.left(id, "left")
        },
      }),
    )
    return h("div", {}, rename.element, h("div.foot", {}, leave, erase))
  }

  async #leave() {
    await this.chat.rest.leave(this.id)
    this.chat.client.unsubscribe([this.id])
    this.chat.left(this.id, "left")
  }

  /** @param {string} name */
  async #rename(name) {
    this.chat.channels.put(/** @type {any} */ (await this.chat.rest.renameChannel(this.id, name)))
    this.chat.onChange()
  }

  /** @param {() => Promise<any>} act */
  async #run(act) {
    say(this.told, "")
    try {
      await act()
    } catch (error) {
      say(this.told, words(error))
    }
    this.draw()
  }
}
