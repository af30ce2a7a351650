// @ts-check
/**
 * What is kept on this device for one user of one server: drafts, the channel of last time.
 *
 * Where a browser keeps nothing, it is as if nothing had been kept.
 */

export class Kept {
  /** @param {{root: URL, user: {id: number} | null}} session */
  constructor({ root, user }) {
    this.prefix = `rtchat ${root.pathname} ${user?.id} `
  }

  /** @param {string} name @returns {any} null: nothing */
  get(name) {
    try {
      return JSON.parse(localStorage.getItem(this.prefix + name) ?? "null")
    } catch {
      return null
    }
  }

  /** @param {string} name @param {any} value */
  put(name, value) {
    try {
      localStorage.setItem(this.prefix + name, JSON.stringify(value))
    } catch {
      // No room, or not allowed.
    }
  }
}
