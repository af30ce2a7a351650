// @ts-check
/**
 * Who is signed in, in all tabs.
 *
 * Owns: the tokens, in `localStorage`, and their renewal. Must never: put a token into a URL, or
 * use a refresh token twice; the server takes that for theft and ends the session. (It cannot be
 * helped where the page ends between the server's answer to a renewal and its coming in.)
 */

import { Refused, call } from "./refused.js"
import { alone } from "./locks.js"

const EARLY_MS = 60_000 // or half of the token's life, where that is less

/**
 * @typedef {import("../rtchat.js").User} User
 * @typedef {{user: User, accessToken: string, refreshToken: string, renewAt: number}} Held
 */

/** Where there is no localStorage, or it is switched off. */
class Memory {
  /** @type {Map<string, string>} */
  #texts = new Map()
  /** @param {string} key */
  getItem = (key) => this.#texts.get(key) ?? null
  /** @param {string} key @param {string} text */
  setItem = (key, text) => void this.#texts.set(key, text)
  /** @param {string} key */
  removeItem = (key) => void this.#texts.delete(key)
}

/** @returns {import("../rtchat.js").TextStore} */
function textStore() {
  try {
    if (typeof window === "undefined") return new Memory()
    localStorage.getItem("")
    return localStorage
  } catch {
    return new Memory()
  }
}

export class Session extends EventTarget {
  /** Why nobody is signed in any more; empty where somebody wanted it so. */
  ended = ""
  /** @type {string | null} */
  #text = null
  /** @type {Held | null} */
  #parsed = null
  /** @type {Promise<void> | undefined} */
  #renewing

  /** @param {string | URL} [root] @param {{store?: import("../rtchat.js").TextStore}} [options] */
  constructor(root = new URL("../", import.meta.url), { store = textStore() } = {}) {
    super()
    const url = new URL(root)
    if (!url.pathname.endsWith("/")) url.pathname += "/"
    url.search = url.hash = ""
    this.root = url
    this.#store = store
    this.#key = `rtchat ${url}`
    if (typeof window === "undefined") return
    addEventListener("storage", ({ key }) => {
      if (key === this.#key || key === null) this.#changed()
    })
  }
  #store
  #key

  /** @returns {Held | null} */
  get #held() {
    const text = this.#store.getItem(this.#key)
    if (text !== this.#text) {
      this.#text = text
      try {
        this.#parsed = JSON.parse(text ?? "null")
      } catch {
        this.#parsed = null
      }
    }
    return this.#parsed
  }

  get user() {
    return this.#held?.user ?? null
  }

  /** @param {string} email @param {string} password */
  async signIn(email, password) {
    return this.#keep(await this.#call("POST", "auth/login", { email, password }))
  }

  /** @param {string} email @param {string} password @param {string} [name] */
  async register(email, password, name) {
    return this.#keep(await this.#call("POST", "auth/register", { email, password, name }))
  }

  /** @param {string} code */
  async exchange(code) {
    return this.#keep(await this.#call("POST", "auth/oauth/exchange", { code }))
  }

  async providers() {
    return (await this.#call("GET", "auth/providers")).items
  }

  async signOut() {
    const held = this.#held
    this.#drop("")
    if (held) await this.#call("POST", "auth/logout", { refreshToken: held.refreshToken })
  }

  /** @param {string} [not] */
  async token(not) {
    const held = this.#held
    if (!held) throw this.#signedOut()
    if (held.accessToken === not || held.renewAt < Date.now()) await this.renew()
    const token = this.#held?.accessToken
    if (!token) throw this.#signedOut()
    return token
  }

  /** Once, however many ask for it. */
  renew() {
    this.#renewing ??= this.#renew().finally(() => (this.#renewing = undefined))
    return this.#renewing
  }

  async #renew() {
    const held = this.#held
    if (!held) throw this.#signedOut()
    await alone(`${this.#key} renewal`, this.#store, async () => {
      if (this.#isOf(held)) await this.#trade(held) // else another tab did it meanwhile
    })
  }

  /** @param {Held} held */
  async #trade(held) {
    const body = { refreshToken: held.refreshToken }
    try {
      const session = await this.#call("POST", "auth/refresh", body)
      if (this.#isOf(held)) this.#keep(session)
      else await this.#call("POST", "auth/logout", { refreshToken: session.refreshToken })
    } catch (error) {
      const isOver = error instanceof Refused && !error.retry
      if (isOver && this.#isOf(held)) this.#drop("The session has ended. Sign in again.")
      throw error
    }
  }

  /** @param {string} method @param {string} path @param {object} [body] @returns {Promise<any>} */
  async ask(method, path, body) {
    const token = await this.token()
    try {
      return await this.#call(method, path, body, token)
    } catch (error) {
      if (!(error instanceof Refused && error.status === 401)) throw error
    }
    return this.#call(method, path, body, await this.token(token))
  }

  /** @param {string} method @param {string} path @param {object} [body] @param {string} [token] */
  #call(method, path, body, token) {
    return call(new URL(path, this.root), method, body, token)
  }

  /** Whether it is still this sign-in, and not renewed. @param {Held} held */
  #isOf(held) {
    return this.#held?.refreshToken === held.refreshToken
  }

  #signedOut() {
    return new Refused("signed_out", this.ended || "Nobody is signed in.")
  }

  /** @param {any} session as the server gives it @returns {User} */
  #keep({ user, accessToken, refreshToken, expiresIn }) {
    const lifeMs = expiresIn * 1000
    const renewAt = Date.now() + Math.max(lifeMs - EARLY_MS, lifeMs / 2)
    const held = { user, accessToken, refreshToken, renewAt }
    this.#store.setItem(this.#key, JSON.stringify(held))
    this.ended = ""
    this.#changed()
    return user
  }

  /** @param {string} why */
  #drop(why) {
    this.#store.removeItem(this.#key)
    this.ended = why
    this.#changed()
  }

  #changed() {
    this.dispatchEvent(new Event("change"))
  }
}
