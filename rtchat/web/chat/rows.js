// @ts-check
/**
 * What stands in the list of messages, row by row: a window of the log, what is on its way, and
 * the lines between them.
 *
 * Owns: days, groups by author, and the line of what is new. Pure; drawn by `list.js`. A row has a
 * key that stays, and parts of which each is the same object for as long as it looks the same.
 */

import { day, dayOf } from "./format.js"
import { reacted } from "./log.js"

const GROUP_MS = 5 * 60_000 // within this, somebody's messages stand below one name

/**
 * @typedef {import("./log.js").Item} Item
 * @typedef {import("./log.js").Message} Message
 * @typedef {{nonce: string, kind: "send" | "edit" | "del" | "react", state: string, of?: number,
 *   content?: string, emoji?: string, on?: boolean,
 *   at: number, error?: {message: string} | null}} Write
 * @typedef {{key: string, type: "day", text: string}
 *   | {key: string, type: "new"}
 *   | {key: string, type: "note", item: import("./log.js").Note}
 *   | {key: string, type: "start", text: string}
 *   | {key: string, type: "msg", item: Message, head: boolean, write: Write | undefined}} Row
 */

/**
 * @param {Item[]} items
 * @param {Write[]} writes of this channel, not yet acknowledged
 * @param {{me: number, newAfter: number | null, now: number, start: string}} view `newAfter`: the
 *   line of what is new stands before the first message of others behind it; `start`: how the
 *   channel begins, where its beginning is in the window
 * @returns {Row[]}
 */
export function rows(items, writes, { me, newAfter, now, start }) {
  const changes = byMessage(writes, me)
  /** @type {Row[]} */
  const made = start ? [{ key: "start", type: "start", text: start }] : []
  /** @type {Message | null} */
  let group = null // whose message stands just above
  let lastDay = 0
  let isNew = newAfter === null

  const begin = (/** @type {Item} */ item) => {
    const today = dayOf(item.ts)
    if (today !== lastDay) {
      lastDay = today
      group = null
      made.push({ key: `d${today}`, type: "day", text: day(item.ts, now) })
    }
  }
  const add = (
    /** @type {Message} */ item,
    /** @type {string} */ key,
    /** @type {any} */ write,
  ) => {
    const head = group?.user !== item.user || item.ts - group.ts > GROUP_MS
    made.push({ key, type: "msg", item, head, write })
    group = item
  }

  for (const item of items) {
    begin(item)
    if (!isNew && item.seq > (newAfter ?? 0) && item.kind === "msg" && item.user !== me) {
      isNew = true
      group = null
      made.push({ key: "new", type: "new" })
    }
    if (item.kind === "msg") {
      const change = changes.get(item.seq)
      add(change ? overlaid(item, change) : item, `m${item.seq}`, change?.at(-1))
    } else {
      made.push({ key: `m${item.seq}`, type: "note", item })
      group = null
    }
  }
  for (const write of writes) {
    if (write.kind !== "send") continue
    const item = pending(write, me)
    begin(item)
    add(item, `p${write.nonce}`, write)
  }
  return made
}

const pendings = new WeakMap() // the same write is the same item

/** @param {Write} write @param {number} me @returns {Message} */
function pending(write, me) {
  let item = pendings.get(write)
  if (!item) {
    const content = write.content ?? ""
    const ts = write.at
    item = { seq: 0, kind: "msg", user: me, content, ts, edited: 0, deleted: false, reactions: [] }
    pendings.set(write, item)
  }
  return item
}

/** Changes on their way, by the message that they are about. @param {Write[]} writes */
function byMessage(writes, /** @type {number} */ me) {
  /** @type {Map<number, (Write & {user: number})[]>} */
  const found = new Map()
  for (const write of writes) {
    if (write.kind === "send" || !write.of) continue
    const list = found.get(write.of)
    if (list) list.push({ ...write, user: me })
    else found.set(write.of, [{ ...write, user: me }])
  }
  return found
}

/** A message as it will be. @param {Message} item @param {any[]} changes @returns {Message} */
function overlaid(item, changes) {
  let { content, reactions } = item
  for (const write of changes) {
    if (write.state === "failed") continue
    if (write.kind === "edit") content = write.content
    if (write.kind === "react") reactions = reacted(reactions, write)
  }
  return { ...item, content, reactions }
}

/** The last message of mine that may still be edited. @param {Item[]} items @param {number} me */
export function lastOwn(items, me) {
  const own = (/** @type {Item} */ item) => item.kind === "msg" && item.user === me && !item.deleted
  return /** @type {Message | undefined} */ (items.findLast(own))
}
