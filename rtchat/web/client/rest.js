// @ts-check
/**
 * The calls over REST that a chat needs, by name; docs/api.md tells of each.
 *
 * Must never: know more of an answer than its place.
 */

const PAGE_MAX = 200
const PAGES_MAX = 50 // of one's own channels: 10,000

/** @typedef {import("../rtchat.js").Role} Role */

/** What stands in a query. @param {Record<string, string | number | undefined>} fields */
function query(fields) {
  const given = Object.entries(fields).filter(([, value]) => value !== undefined)
  return `?${new URLSearchParams(given.map(([name, value]) => [name, String(value)]))}`
}

export class Rest {
  /** @param {import("./session.js").Session} session */
  constructor(session) {
    this.session = session
  }

  me() {
    return this.session.ask("GET", "users/me")
  }

  /** @param {{name?: string, status?: string}} changes */
  updateMe(changes) {
    return this.session.ask("PATCH", "users/me", changes)
  }

  /** @param {string} text @param {number} [limit] */
  async findUsers(text, limit) {
    return (await this.session.ask("GET", `users${query({ q: text, limit })}`)).items
  }

  /** @param {Iterable<number>} ids */
  async users(ids) {
    const left = [...new Set(ids)]
    const found = []
    while (left.length) {
      const some = left.splice(0, PAGE_MAX).join(",")
      found.push(...(await this.session.ask("GET", `users${query({ ids: some })}`)).items)
    }
    return found
  }

  /** @param {"mine" | "public"} scope @param {number} [cursor] @param {number} [limit] */
  channels(scope, cursor, limit) {
    return this.session.ask("GET", `channels${query({ scope, cursor, limit })}`)
  }

  async myChannels() {
    const found = []
    let cursor
    for (let pages = 0; pages < PAGES_MAX && cursor !== null; pages++) {
      const page = await this.channels("mine", cursor, PAGE_MAX)
      found.push(...page.items)
      cursor = page.next
    }
    return found
  }

  /** @param {number} id */
  channel(id) {
    return this.session.ask("GET", `channels/${id}`)
  }

  /** @param {{type: string, name?: string, members?: number[]}} made */
  createChannel(made) {
    return this.session.ask("POST", "channels", made)
  }

  /** @param {number} id @param {string} name */
  renameChannel(id, name) {
    return this.session.ask("PATCH", `channels/${id}`, { name })
  }

  /** @param {number} id */
  deleteChannel(id) {
    return this.session.ask("DELETE", `channels/${id}`)
  }

  /** @param {number} id */
  join(id) {
    return this.session.ask("POST", `channels/${id}/join`)
  }

  /** @param {number} id */
  leave(id) {
    return this.session.ask("POST", `channels/${id}/leave`)
  }

  /** @param {number} id @param {number} [cursor] @param {number} [limit] */
  members(id, cursor, limit) {
    return this.session.ask("GET", `channels/${id}/members${query({ cursor, limit })}`)
  }

  /** @param {number} id @param {number} userId @param {Role} [role] */
  addMember(id, userId, role) {
    return this.session.ask("POST", `channels/${id}/members`, { userId, role })
  }

  /** @param {number} id @param {number} userId @param {Role} role */
  setRole(id, userId, role) {
    return this.session.ask("PATCH", `channels/${id}/members/${userId}`, { role })
  }

  /** @param {number} id @param {number} userId */
  removeMember(id, userId) {
    return this.session.ask("DELETE", `channels/${id}/members/${userId}`)
  }

  /** @param {number} id @param {{before?: number, after?: number, limit?: number}} [page] */
  history(id, { before, after, limit } = {}) {
    return this.session.ask("GET", `channels/${id}/messages${query({ before, after, limit })}`)
  }

  /** @param {number} id @param {number} seq */
  message(id, seq) {
    return this.session.ask("GET", `channels/${id}/messages/${seq}`)
  }
}
