// @ts-check
/**
 * The dialogs that lead into channels: find one, make one, write to somebody; and one's account.
 */

import { confirm, dialog, field, form } from "./forms.js"
import { h, icon, say } from "./dom.js"
import { line } from "./newcomer.js"
import { button as noticesButton } from "./notices.js"
import { picker } from "./picker.js"
import { Refused } from "../rtchat.js"
import { words } from "./chat.js"

const OUT = "M10 4H5v16h5M14 8l4 4-4 4M18 12H9"
const DM_MAX = 9 // others in a direct conversation

/** @param {import("./chat.js").Chat} chat */
export function create(chat) {
  const name = field({
    label: "Name",
    name: "name",
    autocomplete: "off",
    maxlength: 80,
    autofocus: true,
  })
  const choice = (
    /** @type {string} */ value,
    /** @type {string} */ title,
    /** @type {string} */ text,
  ) =>
    h(
      "label.choice-line",
      {},
      h("input", { type: "radio", name: "type", value, checked: value === "public" }),
      h("span", {}, h("b", {}, title), h("span.told", {}, text)),
    )
  const type = h(
    "fieldset",
    {},
    h("legend", {}, "Who may see it"),
    choice("public", "Public", "Everybody here can find it and join."),
    choice("private", "Private", "Only those who are invited."),
  )
  const submit = async () => {
    const chosen = type.querySelector("input:checked").value
    chat.entered(await chat.rest.createChannel({ type: chosen, name: name.value().trim() }))
    box.close()
  }
  const made = form({ fields: [name], parts: [type], button: "Make the channel", submit })
  const box = dialog("New channel", made.element)
}

/** @param {import("./chat.js").Chat} chat */
export function browse(chat) {
  const told = h("p.told", { role: "status" }, "Looking …")
  const list = h("ul.people")
  const more = h("button.button", { hidden: true, onclick: () => page(next) }, "More")
  const make = h(
    "button.button",
    {
      onclick: () => {
        box.close()
        create(chat)
      },
    },
    "Make a channel",
  )
  const box = dialog("Find channels", told, list, more, h("div.foot", {}, make))
  let next = 0
  let seen = 0

  async function page(/** @type {number} */ cursor) {
    try {
      const found = await chat.rest.channels("public", cursor, 100)
      seen += found.items.length
      list.append(...found.items.map((channel) => line(chat, channel, box.close)))
      more.hidden = !found.next
      next = found.next ?? 0
      say(told, seen ? "" : "There are no public channels yet. Make the first one.")
    } catch (error) {
      say(told, words(error))
    }
  }
  page(0)
}

/**
 * Where a link leads, and one is no member: a public channel can be joined.
 * @param {import("./chat.js").Chat} chat @param {unknown} _app @param {number} id
 */
export async function stray(chat, _app, id) {
  try {
    const channel = await chat.rest.channel(id)
    const list = h("ul.people", {}, line(chat, channel, () => box.close()))
    const box = dialog("Join this channel?", list)
  } catch (error) {
    const isNone = error instanceof Refused && error.code === "not_found"
    chat.onWord(isNone ? `Channel ${id} was deleted, or one has to be invited.` : words(error))
  }
}

/** @param {import("./chat.js").Chat} chat */
export function write(chat) {
  /** @type {Map<number, any>} */
  const chosen = new Map()
  const list = h("ul.chosen", { "aria-label": "Chosen" })
  const draw = () => {
    list.replaceChildren(
      ...[...chosen.values()].map((user) => {
        const onclick = () => {
          chosen.delete(user.id)
          draw()
        }
        const name = h("bdi", {}, user.name)
        return h(
          "li",
          {},
          h("button", { onclick, "aria-label": `Without ${user.name}` }, name, icon("close")),
        )
      }),
    )
  }
  const people = picker(chat, {
    label: "To",
    verb: "Choose",
    without: () => new Set([...chosen.keys(), chat.me]),
    choose: (user) => {
      if (chosen.size >= DM_MAX) throw `At most ${DM_MAX} others. Make a private channel for more.`
      chosen.set(user.id, user)
      draw()
    },
  })
  const submit = async () => {
    if (!chosen.size) throw "Choose somebody first."
    chat.entered(await chat.rest.createChannel({ type: "dm", members: [...chosen.keys()] }))
    box.close()
  }
  const made = form({
    fields: [],
    parts: [list, people.element],
    button: "Start the conversation",
    submit,
  })
  const box = dialog("New direct message", made.element)
  people.input.focus()
}

/** @param {import("./chat.js").Chat} chat */
export function account(chat) {
  const user = chat.people.get(chat.me) ?? chat.session.user
  const name = field({
    label: "Name",
    name: "name",
    value: user?.name ?? "",
    autocomplete: "nickname",
    maxlength: 80,
  })
  const status = field({
    label: "Status",
    name: "status",
    value: user?.status ?? "",
    autocomplete: "off",
    maxlength: 140,
    hint: "What you are up to, in a few words.",
  })
  const submit = async () => {
    const changed = await chat.rest.updateMe({ name: name.value(), status: status.value() })
    chat.people.put([changed])
    chat.onChange()
    box.close()
  }
  const made = form({ fields: [name, status], button: "Save", submit })
  const out = h("button.button", { onclick: () => leave(chat, box.close) }, icon(OUT), "Sign out")
  const box = dialog(
    "Your account",
    h("p.told", {}, `Signed in as ${chat.session.user?.email ?? user?.name}`),
    made.element,
    h("div.foot", {}, noticesButton(chat), h("a", { href: "docs" }, "For developers"), out),
  )
}

/**
 * What is not sent yet would be left behind.
 * @param {import("./chat.js").Chat} chat @param {() => void} done
 */
function leave(chat, done) {
  const out = () => chat.session.signOut()
  done()
  if (!chat.outbox.length) return void out().catch(() => {})
  confirm({
    title: "Sign out now?",
    text: "Some messages have not been sent yet. They wait on this device until you sign in again.",
    button: "Sign out",
    act: out,
  })
}
