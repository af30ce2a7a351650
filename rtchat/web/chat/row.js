// @ts-check
/**
 * One row of the list, drawn: a message, a quiet line, a day, the line of what is new.
 *
 * Owns: what a row looks like. Must never: put anything of a message into the page but as text.
 */

import { listed, moment, pieces, shortTime, time } from "./format.js"
import { avatar } from "./sidebar.js"
import { h, icon, set } from "./dom.js"

const LONG_CHARS = 1600 // longer, or of more lines: shown in part until it is asked for
const LONG_LINES = 18
const NAMED_MAX = 12 // people of a reaction

/**
 * @typedef {import("./rows.js").Row} Row
 * @typedef {import("./rows.js").Write} Write
 * @typedef {{name: (id: number) => string, me: number, retry: (nonce: string) => void,
 *   discard: (nonce: string) => void,
 *   react: (seq: number, emoji: string, on: boolean) => void}} Context
 */

/** What a row looks like, as far as it may change. @param {Row} row @param {Context} context */
export function look(row, context) {
  if (row.type === "msg") {
    const { item, head, write } = row
    const people = item.reactions.map(({ users }) => users.slice(0, NAMED_MAX).map(context.name))
    return [item, head, write?.state, write?.kind, head && context.name(item.user), people.join()]
  }
  if (row.type === "note")
    return [context.name(row.item.user), context.name(row.item.by ?? row.item.user)]
  return row.type === "new" ? [] : [row.text]
}

/** @param {Row} row @param {Context} context @returns {HTMLElement} */
export function element(row, context) {
  const item = h("li", { class: `row ${row.type}`, "data-key": row.key })
  fill(item, row, context)
  return item
}

/** @param {HTMLElement} into @param {Row} row @param {Context} context */
export function fill(into, row, context) {
  if (row.type === "msg") return message(into, row, context)
  if (row.type === "day") return into.replaceChildren(h("h2", {}, row.text))
  if (row.type === "new") return into.replaceChildren(h("h2", {}, "New messages"))
  if (row.type === "start") return into.replaceChildren(h("p", {}, row.text))
  into.replaceChildren(h("p", {}, ...note(row.item, context)))
}

/** @param {import("./log.js").Note} item @param {Context} context */
function note({ kind, user, by, name, ts }, context) {
  const who = h("bdi", {}, context.name(user))
  const other = by && by !== user ? h("bdi", {}, context.name(by)) : null
  const at = h("time", { datetime: new Date(ts).toISOString(), title: moment(ts) }, time(ts))
  if (kind === "chan") return [who, " renamed the channel to ", h("bdi", {}, name), " ", at]
  const isJoin = kind === "join"
  return other
    ? [other, isJoin ? " added " : " removed ", who, " ", at]
    : [who, isJoin ? " joined " : " left ", at]
}

/** @param {HTMLElement} into @param {any} row @param {Context} context */
function message(into, { item, head, write }, context) {
  const name = context.name(item.user)
  const { deleted, seq } = item
  const state = !write ? "" : write.state === "failed" ? "failed" : "pending"
  into.className = `row msg${head ? " head" : ""}${deleted ? " deleted" : ""} ${state}`
  const at = h(
    "time",
    { datetime: new Date(item.ts).toISOString(), title: moment(item.ts) },
    time(item.ts),
  )
  const who = head
    ? h("p.by", {}, h("bdi.author", {}, name), at)
    : h("p.unseen", {}, h("bdi", {}, name), " ", time(item.ts))
  const face = head
    ? avatar(item.user, name)
    : h("span.gutter", { "aria-hidden": "true" }, shortTime(item.ts))
  const parts = [who, ...body(item, doing(write))]
  if (item.reactions.length) parts.push(reactions(item, seq, context))
  if (write?.state === "failed") parts.push(failure(write, context))
  const toolbar = into.querySelector(":scope > .tools")
  into.replaceChildren(face, h("div.said", {}, ...parts), ...(toolbar ? [toolbar] : []))
}

/** @param {import("./log.js").Message} item @param {string} doing */
function body({ content, deleted, edited }, doing) {
  if (deleted) return [h("p.text", {}, "This message was deleted.")]
  const text = h("p.text", { dir: "auto" }, ...pieces(content).map(piece))
  const mark = doing || (edited && "(edited)")
  if (mark) text.append(h("span.aside", { title: edited ? moment(edited) : null }, ` ${mark}`))
  if (content.length < LONG_CHARS && content.split("\n", LONG_LINES + 1).length <= LONG_LINES)
    return [text]
  text.classList.add("long")
  const more = h("button.link", { "aria-expanded": "false" }, "Show all")
  more.addEventListener("click", () => {
    const isAll = text.classList.toggle("all")
    set(more, "aria-expanded", String(isAll))
    more.textContent = isAll ? "Show less" : "Show all"
  })
  return [text, more]
}

/** @param {{text: string, url?: string}} one */
const piece = ({ text, url }) =>
  url ? h("a", { href: url, target: "_blank", rel: "noopener noreferrer" }, text) : text

/** @param {import("./log.js").Message} item @param {number} seq @param {Context} context */
function reactions(item, seq, context) {
  const buttons = item.reactions.map(({ emoji, count, users }) => {
    const isMine = users.includes(context.me)
    const names = users
      .slice(0, NAMED_MAX)
      .map((id) => (id === context.me ? "you" : context.name(id)))
    const rest = count - names.length
    const who = rest > 0 ? `${names.join(", ")} and ${rest} more` : listed(names, NAMED_MAX)
    return h(
      "button.reaction",
      {
        title: who,
        "aria-pressed": String(isMine),
        "aria-label": `${emoji} ${count}: ${who}`,
        onclick: () => context.react(seq, emoji, !isMine),
      },
      h("span.emoji", {}, emoji),
      h("span", {}, String(count)),
    )
  })
  return h("div.reactions", {}, ...buttons)
}

const DOING = { send: "sending", edit: "saving", del: "deleting", react: "" }
const FAILED = { send: "Not sent", edit: "Not saved", del: "Not deleted", react: "Not added" }

/** What is told of a write on its way. @param {Write | undefined} write */
function doing(write) {
  if (!write || write.state === "failed" || write.kind === "react") return ""
  return write.state === "waiting" ? "waiting for the connection …" : `${DOING[write.kind]} …`
}

/** @param {Write} write @param {Context} context */
function failure({ kind, nonce, error }, context) {
  const act = (/** @type {string} */ name, /** @type {(nonce: string) => void} */ run) =>
    h("button.link", { onclick: () => run(nonce) }, name)
  return h(
    "p.state bad",
    { role: "alert" },
    icon("alert"),
    `${FAILED[kind]}: ${error?.message ?? "it was refused."}`,
    act("Try again", context.retry),
    act("Discard", context.discard),
  )
}
