// Whose client it is: the tokens, and calls over REST (step 8 of docs/websocket.md; the calls are
// those of docs/api.md). A call is repeated until there is an answer that no waiting mends.

/** @typedef {{access: string, refresh: string, renewAt: number}} Tokens */
/** @typedef {{backOffMs: number, backOffMaxMs: number}} Delays */
/** @typedef {{email: string, password: string}} Credentials */

const REST_MS = 15_000;
const LATER = [408, 425, 429]; // and whatever is from 500 on

export const now = () => performance.now();
export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** All of a growing interval, drawn at random (step 7).
 *  @param {number} failures
 *  @param {Delays} delays
 *  @returns {number} ms */
export function jitter(failures, delays) {
  return Math.random() * Math.min(delays.backOffMaxMs, delays.backOffMs * 2 ** failures);
}

/** A final error: it is not done, and the same again will not be. */
export class Refused extends Error {
  constructor(code, message) {
    super(message);
    this.code = code;
  }
}

export class Account {
  /** @type {Tokens | null} */ tokens = null;
  /** @type {{id: number} | null} */ user = null;
  #refreshing = null; // the refresh that is under way
  /** @type {(value?: any) => void} */ #wake = () => {};
  #closing = new Promise((resolve) => { this.#wake = resolve; });
  closed = false;

  /** @param {string} base as http://host:8000
   *  @param {Delays} delays
   *  @param {() => Promise<Credentials | null>} askWho  the session is over: who is it? */
  constructor(base, delays, askWho) {
    this.base = base.replace(/\/$/, '');
    this.delays = delays;
    this.askWho = askWho;
  }

  /** Throws Refused where the server says no. @param {Credentials} who */
  async signIn(who) { return this.#keep(await this.call('POST', '/auth/login', who, false)); }

  /** Wait; close() ends it. */
  async pause(ms) { await Promise.race([this.#closing, sleep(ms)]); }

  close() {
    this.closed = true;
    this.#wake();
  }

  /** Throws Refused where waiting mends nothing. @returns {Promise<any>} */
  async call(method, path, body = undefined, signed = true) {
    for (let tries = 0, renewed = false; ; tries++) {
      const headers = { 'content-type': 'application/json' };
      const tokens = signed ? (this.tokens ?? (await this.refresh())) : null;
      if (tokens) headers.authorization = `Bearer ${tokens.access}`;
      let hint = 0;
      try {
        const signal = AbortSignal.timeout(REST_MS);
        const asked = { method, headers, body: body && JSON.stringify(body), signal };
        const answer = await fetch(this.base + path, asked);
        const data = await answer.json();
        if (answer.ok) return data;
        if (signed && !renewed && data.code === 'token_expired') {
          renewed = true;
          await this.refresh();
          continue;
        }
        if (answer.status < 500 && !LATER.includes(answer.status))
          throw new Refused(data.code, data.detail);
        hint = 1000 * Number(answer.headers.get('retry-after') ?? 0);
      } catch (error) {
        if (error instanceof Refused) throw error; // anything else: there was no answer
      }
      await this.pause(hint + jitter(tries, this.delays));
      if (this.closed) throw new Refused('closed', 'The client was closed.');
    }
  }

  /** An access token that is good for a minute at least, or for half of its life. */
  async access() {
    if (!this.tokens || this.tokens.renewAt < now()) await this.refresh();
    return this.tokens?.access;
  }

  /** One at a time, as a refresh token is good once. @returns {Promise<Tokens>} */
  refresh() {
    return (this.#refreshing ??= this.#refresh().finally(() => { this.#refreshing = null; }));
  }

  async #refresh() {
    try {
      if (!this.tokens) throw new Refused('unauthorized', 'Signed out.');
      const body = { refreshToken: this.tokens.refresh };
      return this.#keep(await this.call('POST', '/auth/refresh', body, false));
    } catch (error) {
      this.tokens = null; // the session is over
      const who = this.closed ? null : await this.askWho();
      if (!who) throw error;
      return this.signIn(who);
    }
  }

  #keep({ user, accessToken: access, refreshToken: refresh, expiresIn }) {
    if (this.user && this.user.id !== user.id) throw new Error('Another user: another client.');
    this.user = user;
    const goodMs = 1000 * Math.max(expiresIn - 60, expiresIn / 2);
    return (this.tokens = { access, refresh, renewAt: now() + goodMs }); // by our own clock
  }
}
