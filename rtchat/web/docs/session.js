// @ts-check
/**
 * Who is signed in on this tab.
 *
 * Owns: the tokens, in `sessionStorage` (the pages of a tab share them, and they end with it), and
 * their renewal before they expire. Must never: put a token into a URL, or use a refresh token
 * twice; the server takes that for theft and ends the session.
 */

/** Where the server's interface is, wherever it is mounted. */
export const ROOT = new URL("../", import.meta.url)

const KEY = `rtchat${ROOT.pathname}`
const AGAIN_MS = 5_000 // after a renewal that did not get through
const TIMER_MAX_MS = 2 ** 31 - 1 // beyond, timers fire at once
const WORD_MS = 100 // what another tab posted has come by then
const APART_MS = 2_000 // tabs that cannot wait for each other begin by chance within this

/**
 * @typedef {{id: number, name: string, email?: string}} User
 * @typedef {{user: User, accessToken: string, refreshToken: string, renewAt: number}} Held
 */

/** What the server did not do, in its own words. */
export class Refused extends Error {
  /** @param {number} status @param {any} problem the answer's application/problem+json */
  constructor(status, problem) {
    super(problem?.detail || problem?.title || `The server answered ${status}.`)
    this.status = status
    this.field = String(problem?.field ?? "")
    this.retryAfterMs = Number(problem?.retryAfter ?? 0) * 1000
  }
}

/**
 * Ask the server; returns the answer's JSON. Throws Refused, or TypeError where it is out of reach.
 * @param {string} method
 * @param {string} path below the root, without a slash
 * @param {object} [body]
 * @param {string} [token]
 */
export async function ask(method, path, body, token) {
  /** @type {Record<string, string>} */
  const headers = {}
  if (body) headers["content-type"] = "application/json"
  if (token) headers.authorization = `Bearer ${token}`
  const init = { method, headers, body: body && JSON.stringify(body) }
  const answer = await fetch(new URL(path, ROOT), init)
  const data = answer.status === 204 ? null : await answer.json().catch(() => null)
  if (!answer.ok) throw new Refused(answer.status, data)
  return data
}

/**
 * Do it when no other tab does. Browsers have locks on https and on this machine only.
 * @param {() => Promise<void>} work
 */
async function oneTabAtATime(work) {
  const after = (ms) => new Promise((resolve) => setTimeout(resolve, ms)).then(work)
  if (navigator.locks) await navigator.locks.request(KEY, () => after(WORD_MS))
  else await after(WORD_MS + Math.random() * APART_MS)
}

/** The sign-in of this tab; tells `change` when it is another one, or has new tokens. */
class Session extends EventTarget {
  /** Why nobody is signed in any more; empty where somebody wanted it so. */
  ended = ""
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer
  /** @type {Promise<void> | undefined} */
  #renewing
  // A duplicated tab begins with this tab's tokens. Who renews them first tells the other.
  #others = new BroadcastChannel(KEY)

  constructor() {
    super()
    this.#others.onmessage = ({ data }) => {
      if (this.held?.refreshToken === data.used) this.#keep(data.held)
    }
    // Timers sleep with the machine; and a page out of the browser's cache may hold old tokens.
    document.addEventListener("visibilitychange", () => this.#wait())
    addEventListener("pageshow", (event) => event.persisted && this.#changed())
    this.#wait()
  }

  /** @returns {Held | null} */
  get held() {
    try {
      return JSON.parse(sessionStorage.getItem(KEY) ?? "null")
    } catch {
      return null
    }
  }

  /** The access token; empty where nobody is signed in. */
  get token() {
    return this.held?.accessToken ?? ""
  }

  /** @param {string} email @param {string} password */
  async signIn(email, password) {
    this.#hold(await ask("POST", "auth/login", { email, password }))
  }

  /** @param {string} email @param {string} password */
  async makeAccount(email, password) {
    this.#hold(await ask("POST", "auth/register", { email, password }))
  }

  /** Forget the tokens here, then end the session on the server. */
  async signOut() {
    const held = this.held
    this.#drop("")
    if (held) await ask("POST", "auth/logout", { refreshToken: held.refreshToken })
  }

  /** Trade the refresh token for new tokens; once, however many ask for it. */
  renew() {
    this.#renewing ??= this.#renew().finally(() => (this.#renewing = undefined))
    return this.#renewing
  }

  async #renew() {
    const held = this.held
    if (!held) return
    await oneTabAtATime(async () => {
      if (this.held?.refreshToken === held.refreshToken) await this.#trade(held)
    })
  }

  /** @param {Held} held */
  async #trade(held) {
    try {
      const session = await ask("POST", "auth/refresh", { refreshToken: held.refreshToken })
      if (this.held?.refreshToken !== held.refreshToken) return // signed out meanwhile
      this.#hold(session)
      this.#others.postMessage({ used: held.refreshToken, held: this.held })
    } catch (error) {
      const refused = error instanceof Refused ? error : null
      if (this.held?.refreshToken !== held.refreshToken) return
      if (refused?.status === 401) this.#drop("The session has ended. Sign in again.")
      else this.#wait(Math.max(AGAIN_MS, refused?.retryAfterMs ?? 0))
    }
  }

  /** @param {any} session as the server gives it */
  #hold({ user, accessToken, refreshToken, expiresIn }) {
    const renewAt = Date.now() + expiresIn * 1000 * 0.85 // of 15 minutes, two are left
    this.#keep({ user, accessToken, refreshToken, renewAt })
  }

  /** @param {Held} held */
  #keep(held) {
    sessionStorage.setItem(KEY, JSON.stringify(held))
    this.ended = ""
    this.#changed()
  }

  /** @param {string} why */
  #drop(why) {
    sessionStorage.removeItem(KEY)
    this.ended = why
    this.#changed()
  }

  #changed() {
    this.#wait()
    this.dispatchEvent(new Event("change"))
  }

  /** Renew when it is time. @param {number} [atLeastMs] */
  #wait(atLeastMs = 0) {
    clearTimeout(this.#timer)
    const held = this.held
    if (!held) return
    const ms = Math.max(atLeastMs, held.renewAt - Date.now())
    this.#timer = setTimeout(() => this.renew(), Math.min(ms, TIMER_MAX_MS))
  }
}

export const session = new Session()
