// @ts-check
/**
 * The channels that one is a member of: what they are called, in which order, how much is unread.
 *
 * Owns: what the sidebar shows. The server counts unread messages when the list is asked for; from
 * then on they are counted here, by what comes. No DOM, no requests.
 */

/**
 * @typedef {"owner" | "admin" | "member"} Role
 * @typedef {{id: number, name: string | null, type: "public" | "private" | "dm", createdBy: number,
 *   createdAt: string, role: Role | null, lastSeq: number, readSeq: number | null,
 *   unread: number | null}} Channel as REST has it
 */

export class Channels {
  /** @type {Map<number, Channel>} */
  all = new Map()
  /** Another number: something is told otherwise. */
  version = 0
  /** Who is in a dm besides oneself; fixed for ever. @type {Map<number, number[]>} */
  others = new Map()
  /** Whether the list was there once: else nobody knows that there are none. */
  loaded = false
  me = 0

  /** The whole list, anew. @param {Channel[]} list */
  replace(list) {
    const before = this.all
    this.all = new Map(list.map((channel) => [channel.id, merged(before.get(channel.id), channel)]))
    this.loaded = true
    this.version++
  }

  /** One of them, as REST or a hint has it. @param {Channel} channel */
  put(channel) {
    this.all.set(channel.id, merged(this.all.get(channel.id), channel))
    this.version++
  }

  /** @param {number} id */
  drop(id) {
    this.all.delete(id)
    this.others.delete(id)
    this.version++
  }

  /** @param {number} id @param {number[]} users */
  meet(id, users) {
    this.others.set(id, users)
    this.version++
  }

  /**
   * Take an entry of a channel's log in.
   * @param {any} entry @param {boolean} isSeen somebody looks at it as it comes
   */
  apply(entry, isSeen) {
    const channel = this.all.get(entry.ch)
    if (!channel || entry.seq <= channel.lastSeq) return
    const after = { ...channel, lastSeq: entry.seq }
    const isNew = entry.t === "msg" && entry.user !== this.me && !entry.deleted && !isSeen
    if (isNew) after.unread = (channel.unread ?? 0) + 1
    if (entry.t === "chan") after.name = entry.name
    this.all.set(entry.ch, after)
    if (isNew || entry.t === "chan") this.version++
  }

  /** It was read up to here, on this device or another. @param {number} id @param {number} seq */
  read(id, seq) {
    const channel = this.all.get(id)
    if (!channel || seq <= (channel.readSeq ?? 0)) return false
    const unread = seq >= channel.lastSeq ? 0 : channel.unread
    this.all.set(id, { ...channel, readSeq: seq, unread })
    if (unread !== channel.unread) this.version++
    return true
  }

  /** Public and private ones, by name. */
  get rooms() {
    const list = [...this.all.values()].filter(({ type }) => type !== "dm")
    return list.sort((a, b) => collator.compare(a.name ?? "", b.name ?? "") || a.id - b.id)
  }

  /** Conversations of a fixed set, what is unread first, then the newest. */
  get dms() {
    const list = [...this.all.values()].filter(({ type }) => type === "dm")
    const isUnread = (/** @type {Channel} */ one) => (one.unread ? 1 : 0)
    return list.sort((a, b) => isUnread(b) - isUnread(a) || b.id - a.id)
  }

  get unread() {
    let total = 0
    for (const { unread } of this.all.values()) total += unread ?? 0
    return total
  }

  /** The one above or below in the sidebar. @param {number} id @param {number} step */
  beside(id, step) {
    const ids = [...this.rooms, ...this.dms].map((channel) => channel.id)
    if (!ids.length) return 0
    const at = ids.indexOf(id)
    return at < 0 ? ids[0] : ids[(at + step + ids.length) % ids.length]
  }
}

const collator = new Intl.Collator(undefined, { numeric: true, sensitivity: "base" })

/**
 * What REST says, where entries have not said more meanwhile.
 * @param {Channel | undefined} before @param {Channel} channel
 */
function merged(before, channel) {
  if (!before || channel.lastSeq >= before.lastSeq) return channel
  const { lastSeq, name, unread } = before
  return { ...channel, lastSeq, name, unread }
}
