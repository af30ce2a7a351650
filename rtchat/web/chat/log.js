// @ts-check
/**
 * The part of a channel's log that is in memory: a window of entries, folded into what they say.
 *
 * Owns: messages with their edits, deletions and reactions, and the quiet lines between them.
 * Everything may come twice, from REST and from the socket, and in either order: the outcome is the
 * same. Must never: hold more than WINDOW_MAX items, or change an item in place (who draws it knows
 * a change by another object). Nothing of it outlives the page; all of it is in the server's log.
 */

export const WINDOW_MAX = 260
const SLACK = 60 // cut so many at once: to cut one for each that comes would cost a layout each
const HELD_MAX = 1000 // entries that wait for a page of history
const USERS_MAX = 1000 // of a reaction are known; with more, they are only counted

/**
 * @typedef {{emoji: string, count: number, users: number[]}} Reaction
 * @typedef {{seq: number, kind: "msg", user: number, content: string, ts: number, edited: number,
 *   deleted: boolean, reactions: Reaction[]}} Message
 * @typedef {{seq: number, kind: "join" | "leave" | "chan", user: number, ts: number,
 *   by?: number, name?: string}} Note
 * @typedef {Message | Note} Item
 */

/** @param {any} message as REST has it @returns {Message} */
export function fromRest(message) {
  return {
    seq: message.seq,
    kind: "msg",
    user: message.userId,
    content: message.content,
    ts: Date.parse(message.timestamp),
    edited: message.editedAt ? Date.parse(message.editedAt) : 0,
    deleted: Boolean(message.deletedAt),
    reactions: message.reactions ?? [],
  }
}

export class Log {
  /** @type {Item[]} by seq */
  items = []
  /** Whether anything was loaded; before, entries are only counted. */
  loaded = false
  /** Whether the newest entry is in the window, and what comes is to be shown. */
  atHead = true
  hasOlder = false
  /** Whether one reads at the end: else what is read must not go for what comes. */
  following = true
  /** @type {any[]} what comes while a page is asked for */
  #held = []
  #asked = 0 // pages
  #overflowed = false

  get first() {
    return this.items[0]?.seq ?? 0
  }
  get last() {
    return this.items.at(-1)?.seq ?? 0
  }

  /** A page is asked for: what comes until then is put upon it. */
  begin() {
    this.#asked++
  }

  /** It did not come. */
  fail() {
    this.#release()
  }

  /**
   * The window is this page now.
   * @param {any[]} page @param {{hasOlder: boolean, atHead: boolean}} ends
   */
  replace(page, { hasOlder, atHead }) {
    this.items = page.map(fromRest)
    this.loaded = true
    this.hasOlder = hasOlder
    this.atHead = atHead
    this.#release()
  }

  /** Older messages; the newest leave where there are too many. */
  prepend(/** @type {any[]} */ page, /** @type {boolean} */ hasOlder) {
    const first = this.first || Infinity
    this.items = [...page.map(fromRest).filter(({ seq }) => seq < first), ...this.items]
    this.hasOlder = hasOlder
    if (this.items.length > WINDOW_MAX) {
      this.items = this.items.slice(0, WINDOW_MAX - SLACK)
      this.atHead = false
    }
    this.#release()
  }

  /** Newer messages, up to the head where `hasMore` is false; the oldest leave. */
  append(/** @type {any[]} */ page, /** @type {boolean} */ hasMore) {
    const last = this.last
    this.items = [...this.items, ...page.map(fromRest).filter(({ seq }) => seq > last)]
    this.atHead = !hasMore
    this.trim()
    this.#release()
  }

  /** Leave out the oldest. @param {number} [max] */
  trim(max = WINDOW_MAX) {
    if (this.items.length <= max) return
    this.items = this.items.slice(SLACK - max)
    this.hasOlder = true
  }

  /**
   * Take an entry in. Returns whether the window shows something else now.
   * @param {any} entry as the socket has it
   */
  apply(entry) {
    if (this.#asked) {
      if (this.#held.length < HELD_MAX) this.#held.push(entry)
      else this.#overflowed = true
      return false
    }
    if (!this.loaded) return false
    if (entry.t === "edit" || entry.t === "del" || entry.t === "react") return this.#change(entry)
    return this.#add(itemOf(entry))
  }

  #release() {
    if (--this.#asked > 0) return
    const held = this.#held
    this.#held = []
    if (this.#overflowed) this.atHead = false // one goes on by asking for newer messages
    this.#overflowed = false
    for (const entry of held) this.apply(entry)
  }

  /** @param {Item} item */
  #add(item) {
    const { index, found } = this.#find(item.seq)
    if (found || !this.atHead) return false
    if (this.items.length >= WINDOW_MAX && !this.following) {
      this.atHead = false
      return false
    }
    if (index === 0 && this.hasOlder) return false // from before the window
    this.items = this.items.toSpliced(index, 0, item)
    if (this.items.length > WINDOW_MAX) this.trim()
    return true
  }

  /** @param {any} entry */
  #change(entry) {
    const { index, found } = this.#find(entry.of)
    const before = this.items[index]
    if (!found || before?.kind !== "msg") return false
    const after = changed(before, entry)
    if (after === before) return false
    this.items = this.items.with(index, after)
    return true
  }

  /** @param {number} seq @returns {Message | undefined} */
  message(seq) {
    const { index, found } = this.#find(seq)
    const item = this.items[index]
    return found && item?.kind === "msg" ? item : undefined
  }

  /** Where a seq is or would be. @param {number} seq */
  #find(seq) {
    let low = 0
    let high = this.items.length
    while (low < high) {
      const middle = (low + high) >> 1
      if (this.items[middle].seq < seq) low = middle + 1
      else high = middle
    }
    return { index: low, found: this.items[low]?.seq === seq }
  }
}

/** @param {any} entry @returns {Item} */
function itemOf(entry) {
  const { seq, t, user, ts } = entry
  if (t !== "msg") return { seq, kind: t, user, ts, by: entry.by, name: entry.name }
  const deleted = entry.deleted === true
  return { seq, kind: "msg", user, content: entry.content, ts, edited: 0, deleted, reactions: [] }
}

/** A message after a change of it. @param {Message} message @param {any} entry */
function changed(message, entry) {
  if (message.deleted) return message
  if (entry.t === "del") return { ...message, content: "", deleted: true, reactions: [] }
  if (entry.t === "edit") {
    if (entry.ts < message.edited) return message // the page of history is newer
    return { ...message, content: entry.content, edited: entry.ts }
  }
  const reactions = reacted(message.reactions, entry)
  return reactions === message.reactions ? message : { ...message, reactions }
}

/**
 * Reactions after one more: who has reacted is told once, whoever tells it. The server names the
 * first 100 users of one, and oneself; who takes one back and is not named was behind them. Of
 * somebody there, who reacts again, the count is one too many.
 * @param {Reaction[]} reactions
 * @param {{emoji: string, user: number, on: boolean}} entry
 */
export function reacted(reactions, { emoji, user, on }) {
  const before = reactions.find((one) => one.emoji === emoji)
  if (!before) return on ? [...reactions, { emoji, count: 1, users: [user] }] : reactions
  const { users } = before
  const has = users.includes(user) || (!on && before.count > users.length)
  if (has === on) return reactions
  const named = on ? [...users, user].slice(0, USERS_MAX) : users.filter((one) => one !== user)
  const after = { emoji, count: before.count + (on ? 1 : -1), users: named }
  if (after.count === 0) return reactions.filter((one) => one !== before)
  return reactions.map((one) => (one === before ? after : one))
}
