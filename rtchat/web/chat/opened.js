// @ts-check
/**
 * The channel that is open, and the few that were open last: windows of their logs, and members.
 *
 * Owns: what is loaded of history, and where the line of what is new stands. Must never: keep more
 * than LOGS_MAX windows; an older one is read again when it is opened.
 */

import { Log } from "./log.js"
import { plural } from "./format.js"
import { words } from "./chat.js"

const LOGS_MAX = 8
const KEPT_MAX = 80 // items of a window that is not shown
const PAGE = 80
const FEW_UNREAD = 60 // with more, one begins where one left off, and not at the end
const CONTEXT = 20 // messages before that place
const MEMBERS_PAGE = 200

/** @typedef {{items: any[], next: number | null}} Members */

export class Opened {
  id = 0
  /** The line of what is new stands behind this seq. @type {number | null} */
  newAfter = null
  /** What could not be loaded, for people. */
  failed = ""
  busy = false
  /** Whether all that comes is being looked at; the list says so. */
  watched = false
  /** Counts what makes the list begin anew somewhere: at the end, or at the line of what is new. */
  turns = 0
  /** @type {Map<number, Log>} the one used last is the last */
  #logs = new Map()
  /** @type {Map<number, Members>} */
  #members = new Map()

  /** @param {import("./chat.js").Chat} chat */
  constructor(chat) {
    this.chat = chat
  }

  get channel() {
    return this.chat.channels.all.get(this.id)
  }

  get log() {
    let log = this.#logs.get(this.id)
    if (!log) this.#logs.set(this.id, (log = new Log()))
    return log
  }

  /** @type {Members | undefined} */
  get members() {
    return this.#members.get(this.id)
  }

  /** How many there are, in words. */
  get counted() {
    const { members } = this
    if (!members) return "Members"
    const { me, people } = this.chat
    const online = members.items.filter(({ user }) => user.id === me || people.online.has(user.id))
    const more = members.next ? " and more" : ""
    return `${plural(members.items.length, "member")}${more}, ${online.length} online`
  }

  /** Writes of this channel that are on their way. */
  get writes() {
    return this.chat.outbox.filter(({ ch }) => ch === this.id)
  }

  /** @param {number} id 0: none */
  open(id) {
    if (id === this.id) return
    this.#shelve()
    this.id = id
    this.turns++
    this.failed = ""
    this.busy = this.watched = false
    const channel = this.channel
    this.newAfter = channel?.unread ? channel.readSeq : null
    if (id) {
      const { first, hasOlder } = this.log
      // What is new begins before the window: it is read again from there.
      if (this.newAfter !== null && hasOlder && first > this.newAfter + 1) this.#logs.delete(id)
      if (!this.log.loaded) this.#load()
      this.#meet()
    }
    this.chat.onChange()
  }

  /** What is not looked at any more takes less room. */
  #shelve() {
    const log = this.#logs.get(this.id)
    if (!log) return
    this.#logs.delete(this.id)
    if (!log.loaded || !log.atHead) return
    log.trim(KEPT_MAX)
    this.#logs.set(this.id, log)
    for (const id of this.#logs.keys()) {
      if (this.#logs.size <= LOGS_MAX) break
      this.#logs.delete(id)
      this.#members.delete(id)
    }
  }

  /** It is not there any more, or begins anew. @param {number} id @param {boolean} [stays] */
  forget(id, stays) {
    this.#logs.delete(id)
    this.#members.delete(id)
    if (this.id === id && !stays) this.id = 0
  }

  /** @param {number} id */
  reload(id) {
    if (this.id !== id) return
    this.newAfter = null
    this.#load()
  }

  /** @param {any} entry */
  apply(entry) {
    const isOpen = entry.ch === this.id
    if (isOpen && !this.watched && this.newAfter === null && entry.user !== this.chat.me) {
      this.newAfter = entry.seq - 1
    }
    if (entry.t === "join" || entry.t === "leave") this.#moved(entry)
    this.#logs.get(entry.ch)?.apply(entry)
  }

  // --- history

  /** The first page: the newest one, or that where one left off. */
  async #load() {
    const { channel, log, id } = this
    const readSeq = channel?.readSeq ?? 0
    const isFar = (channel?.unread ?? 0) > FEW_UNREAD && this.newAfter !== null
    await this.#reading(log, async () => {
      if (!isFar) return this.#newest(log, id)
      const [before, after] = await Promise.all([
        this.chat.rest.history(id, { before: readSeq + 1, limit: CONTEXT }),
        this.chat.rest.history(id, { after: readSeq, limit: PAGE }),
      ])
      const items = [...before.items, ...after.items]
      log.replace(items, { hasOlder: before.hasMore, atHead: !after.hasMore })
    })
  }

  /** @param {Log} log @param {number} id */
  async #newest(log, id) {
    const page = await this.chat.rest.history(id, { limit: PAGE })
    log.replace(page.items, { hasOlder: page.hasMore, atHead: true })
  }

  older() {
    const { log, id } = this
    if (this.busy || !log.loaded || !log.hasOlder) return
    this.#reading(log, async () => {
      const { first } = log
      const page = await this.chat.rest.history(id, { before: first, limit: PAGE })
      if (log.first === first) log.prepend(page.items, page.hasMore)
      else log.fail() // the window is another one by now
    })
  }

  newer() {
    const { log, id } = this
    if (this.busy || !log.loaded || log.atHead) return
    this.#reading(log, async () => {
      const { last } = log
      const page = await this.chat.rest.history(id, { after: last, limit: PAGE })
      if (log.last === last) log.append(page.items, page.hasMore)
      else log.fail()
    })
  }

  /** To the end of the log, wherever one is. */
  async latest() {
    const { log, id } = this
    if (!log.atHead) await this.#reading(log, () => this.#newest(log, id))
    this.turns++
    this.newAfter = null
    this.chat.onChange()
  }

  again() {
    if (!this.log.loaded) this.#load()
    else this.older()
  }

  /** @param {Log} log @param {() => Promise<void>} load */
  async #reading(log, load) {
    this.busy = true
    this.failed = ""
    this.chat.onChange()
    log.begin()
    const { id } = this
    try {
      await load()
    } catch (error) {
      log.fail()
      if (this.id === id) this.failed = words(error)
    }
    if (this.id === id) this.busy = false
    this.chat.onChange()
  }

  // --- members

  /** The first page of members: who they are, and about how many. */
  async #meet() {
    const { id } = this
    if (this.#members.has(id) || !this.channel?.role) return
    await this.meet(id).catch(() => {}) // the header goes without a number
  }

  /** @param {number} id @param {number} [cursor] where the page before ended */
  async meet(id, cursor = 0) {
    const page = await this.chat.rest.members(id, cursor, MEMBERS_PAGE)
    const before = cursor ? (this.#members.get(id)?.items ?? []) : []
    this.chat.people.put(page.items.map(({ user }) => user))
    this.#members.set(id, { items: [...before, ...page.items], next: page.next })
    this.chat.onChange()
  }

  /** Somebody came or went. @param {any} entry */
  #moved({ t, ch, user, ts }) {
    const known = this.#members.get(ch)
    if (!known) return
    const others = known.items.filter((member) => member.user.id !== user)
    const isIn = t === "join" && !known.next
    const person = this.chat.people.get(user) ?? { id: user, name: "…" }
    const member = { user: person, role: "member", joinedAt: new Date(ts).toISOString() }
    this.#members.set(ch, { ...known, items: isIn ? [...others, member] : others })
  }
}
