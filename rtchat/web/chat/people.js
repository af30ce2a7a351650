// @ts-check
/**
 * Who people are: their names, looked up many at once, who is online, who is typing.
 *
 * Owns: a bounded cache of users, and what is known of them only for the moment. No DOM; requests
 * by what is handed in. All of it is lost with the page, and asked for again.
 */

const USERS_MAX = 5000
const AT_ONCE = 200 // as many ids does the server take
const COLLECT_MS = 25
const AGAIN_MS = 5000 // after a look-up that failed
const TYPING_MS = 5000 // who typed no more for so long has stopped
const LATE_MS = 1500 // word of typing goes beside the log: it may come after what was typed
const SAID_MAX = 50

/** @typedef {{id: number, name: string, status?: string, lastActive?: string | null}} User */

export class People {
  /** @type {Map<number, User>} */
  #known = new Map()
  /** @type {Set<number>} */
  #wanted = new Set()
  /** @type {Set<number>} */
  online = new Set()
  /** Another number: somebody is called otherwise, or came or went. */
  version = 0
  /** By channel: until when each is typing. @type {Map<number, Map<number, number>>} */
  #typing = new Map()
  /** Until when word of somebody's typing is late. @type {Map<number, number>} */
  #said = new Map()
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer

  /**
   * @param {(ids: number[]) => Promise<User[]>} lookUp
   * @param {() => void} onChange
   */
  constructor(lookUp, onChange) {
    this.lookUp = lookUp
    this.onChange = onChange
  }

  /** @param {User[]} users */
  put(users) {
    this.version++
    for (const user of users) {
      const before = this.#known.get(user.id)
      const isSame = before?.name === user.name && before?.status === user.status
      this.#known.delete(user.id) // to the end: what was put first goes first
      this.#known.set(user.id, isSame && before ? before : user)
    }
    for (const id of this.#known.keys()) {
      if (this.#known.size <= USERS_MAX) break
      this.#known.delete(id)
    }
  }

  /** @param {number} id @returns {User | undefined} unknown: it is being looked up */
  get(id) {
    const user = this.#known.get(id)
    if (!user) this.#want(id)
    return user
  }

  /** @param {number} id */
  name(id) {
    return this.get(id)?.name ?? "…"
  }

  #want(/** @type {number} */ id) {
    this.#wanted.add(id)
    this.#timer ??= setTimeout(() => this.#ask(), COLLECT_MS)
  }

  async #ask() {
    const ids = [...this.#wanted].slice(0, AT_ONCE)
    let wait = COLLECT_MS
    try {
      const users = await this.lookUp(ids)
      this.put(users)
      const found = new Set(users.map(({ id }) => id))
      this.put(ids.filter((id) => !found.has(id)).map((id) => ({ id, name: "Somebody who left" })))
      for (const id of ids) this.#wanted.delete(id)
    } catch {
      wait = AGAIN_MS // names are wanted again for as long as they are drawn
    }
    this.#timer = this.#wanted.size ? setTimeout(() => this.#ask(), wait) : undefined
    this.onChange()
  }

  // --- for the moment

  /** @param {number} user @param {string} status */
  presence(user, status) {
    this.version++
    if (status === "online") this.online.add(user)
    else this.online.delete(user)
  }

  /** @param {number} ch @param {number} user @param {number} now */
  types(ch, user, now) {
    if (now < (this.#said.get(user) ?? 0)) return
    let inChannel = this.#typing.get(ch)
    if (!inChannel) this.#typing.set(ch, (inChannel = new Map()))
    inChannel.set(user, now + TYPING_MS)
  }

  /** Who said it types no more. @param {number} ch @param {number} user @param {number} now */
  typed(ch, user, now) {
    this.#typing.get(ch)?.delete(user)
    if (this.#said.size > SAID_MAX) this.#said.clear()
    this.#said.set(user, now + LATE_MS)
  }

  /** @param {number} ch @param {number} now */
  typing(ch, now) {
    const inChannel = this.#typing.get(ch)
    if (!inChannel) return []
    for (const [user, until] of inChannel) if (until <= now) inChannel.delete(user)
    if (!inChannel.size) this.#typing.delete(ch)
    return [...inChannel.keys()]
  }

  /** Nothing of the moment holds when the connection is gone. */
  forget() {
    this.version++
    this.online.clear()
    this.#typing.clear()
  }
}
