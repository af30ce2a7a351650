// A minimal client of rtchat in plain JavaScript, for Node 22 and later (Node 20 with the option
// --experimental-websocket) and for browsers. It needs a WebSocket and no package.
//
// It was written from docs/websocket.md and asyncapi.json alone (its calls over REST from
// docs/api.md), without a look at the server or at another client. "Step n" below is a step of the
// guide's reference algorithm. Where each one is:
//
//    1  what is kept              epoch, followed, unwanted, account and outbox here: in memory.
//                                 To survive a restart of its own, a client stores them
//    2  connect                   #run, #connect
//    3  at hello                  #atHello, #subscribe, #followAll
//    4  a channel, the first time follow, #followed, history
//    5  entries and other events  #take, #entry
//    6  writes                    outbox.mjs
//    7  closes and delays         #afterClose, #delay
//    8  tokens                    account.mjs, #renew
//    9  a dead link               #watch
//   10  another history           #reset, #startOver
//   12  leaving                   close
import { Account, Refused, jitter, now, sleep } from './account.mjs';
import { Outbox } from './outbox.mjs';

export { Refused };

/** @typedef {{t: string, ch: number, seq: number, ts: number, user: number}} Entry
 *  and more, by `t`: `content` of a `msg` */
/** @typedef {Object} Handlers
 * @property {(entry: Entry) => void} entry  each entry of a followed channel, once, in order of seq
 * @property {(what: 'connected' | 'away' | 'stopped', info: object) => void} state
 * @property {(ch: number, head: number) => void} opened  followed from its head on; what was said
 *   before comes from history(ch, head + 1)
 * @property {(ch: number, why: string) => void} removed  no member any more, or the channel is gone
 * @property {(ch: number) => void} reset  what is held of it is of another history: forget that
 * @property {() => Promise<{email: string, password: string} | null>} signIn  the session is over
 * @property {(way: 'sent' | 'received', frame: object) => void} frame  every one, to look on
 * @property {(...what: any[]) => void} log */
/** @typedef {Object} Options
 * @property {boolean} everyChannel  follow every channel that one is a member of
 * @property {number} backOffMs  the first delay is between 0 and this; the guide says 500
 * @property {number} backOffMaxMs  the longest delay; the guide says 30 000 */

const HELLO_MS = 10_000; // step 2: for all up to hello
const LIVED_MS = 10_000; // step 7: a connection that lasted for so long ends a series of failures
const SPARED = 1; // step 7: from the third time in a row on, "now" backs off too
const PROBE_MS = 10_000; // step 9: for any frame after a ping
const WOKEN_MS = 5_000; // step 9: the same, after the machine has slept
const OUR_FAULT = [1002, 1003, 1007, 1009];

/** What is kept for one connection, and means nothing after it. */
class Link {
  helloAt = 0; // 0: it has not come yet
  leaving = false; // after bye, and after the end: nothing more is sent
  comeBackIn = 0; // ms, of bye
  hint = 0; // ms, of an error in the place of hello
  waiting = new Map(); // ref → the write, or the sub, that was asked
  heartbeat = 25;
  exp = 0; // when the token ends, as the server has it
  subRefusals = 0;
  heardAt = now();
  watchedAt = now();
  probedUntil = 0; // when something must have come after our ping; 0: none is under way
  /** @type {(code: number, reason: string) => void} end it, without waiting for anybody */
  drop = () => {};
  /** @param {WebSocket} socket */
  constructor(socket) { this.socket = socket; }
  get open() { return !this.leaving && this.socket.readyState === WebSocket.OPEN; }
}

export class Client {
  /** Of all cursors. @type {string | null} */ epoch = null;
  /** Channel → its cursor, the seq of the last entry taken in; null: from where is not known yet.
   *  @type {Map<number, number | null>} */
  followed = new Map();
  /** Where everything is followed: but not these. @type {Set<number>} */ unwanted = new Set();
  outbox = new Outbox();
  /** @type {Link | null} */ #link = null;
  #limits = { frameBytes: 65_536, subs: 1000 };
  #ref = 0; // counts on over all connections
  #failures = 0;
  #refreshed = false; // since the last hello
  #running = null;

  /** @param {string} base as http://host:8000
   *  @param {Partial<Handlers>} on
   *  @param {Partial<Options>} options */
  constructor(base, on = {}, options = {}) {
    this.on = on;
    this.options = { everyChannel: false, backOffMs: 500, backOffMaxMs: 30_000, ...options };
    this.account = new Account(base, this.options, async () => (await on.signIn?.()) ?? null);
  }

  /** Sign in. Waits while the server cannot answer; throws Refused where it says no. */
  async signIn(email, password) { await this.account.signIn({ email, password }); }

  /** Connect, and come back after each close: until close(), or until the guide says to stop. */
  start() {
    this.#running ??= this.#run().catch((error) => error).then((error) => {
      this.on.state?.('stopped', { why: error && !this.account.closed ? String(error) : 'closed' });
    });
  }

  /** Follow a channel behind a cursor; null: from its head on (step 4). */
  follow(ch, cursor = null) {
    this.unwanted.delete(ch);
    this.followed.set(ch, cursor);
    if (this.#link?.helloAt) this.#subscribe([[ch, cursor]]);
  }

  /** Follow it no longer. */
  unfollow(ch) {
    this.unwanted.add(ch);
    if (this.followed.delete(ch) && this.#link?.helloAt) this.#send({ t: 'unsub', ch: [ch] });
  }

  /** Write a message (step 6). Until this settles, the outcome is unknown, not failed.
   *  @returns {Promise<import('./outbox.mjs').Ack>} Refused: by a final error only */
  send(ch, content) { return this.outbox.add(ch, content); }

  /** What was said before a seq: pages, the newest first, each in order of seq (step 4). */
  async *history(ch, before) {
    for (let page; !page || (page.hasMore && page.items.length); before = page.items[0]?.seq) {
      page = await this.account.call('GET', `/channels/${ch}/messages?before=${before}&limit=50`);
      yield page.items;
    }
  }

  /** Leave. What is in the outbox then is unknown, and its promises stay open. */
  async close() {
    this.account.close();
    this.#link?.drop(1000, 'closed');
    await this.#running;
  }

  // ---- the connection (steps 2, 3, 7, 9)

  async #run() {
    while (!this.account.closed) {
      const token = await this.account.access();
      if (this.account.closed) break;
      const { link, code, reason } = await this.#connect(token);
      this.outbox.end();
      if (this.account.closed) break;
      if (link.helloAt && now() - link.helloAt >= LIVED_MS) this.#failures = 0;
      const wait = await this.#afterClose(link, code, reason);
      this.on.state?.('away', { code, reason, wait: Math.round(wait) });
      await this.account.pause(wait);
    }
  }

  /** Milliseconds to wait after a close (step 7). Throws where the client is to stop. */
  async #afterClose(link, code, reason) {
    if (code === 4004 || (code === 4001 && this.#refreshed)) this.account.tokens = null; // sign in
    if (code === 4001) this.#refreshed = true;
    const renew = [4001, 4004, 4202].includes(code);
    if (renew) await this.account.refresh();
    else if ((code >= 4000 && code < 4100) || OUR_FAULT.includes(code))
      throw new Error(`closed for good: ${code} ${reason}`);
    if (renew || code === 1012 || (code >= 4200 && code < 4300))
      return this.#delay(link.comeBackIn, SPARED);
    return this.#delay(link.hint); // 41xx, 1006, and whatever else there may be
  }

  /** Count one more failure; so often as is spared the delay does not grow. */
  #delay(hint, spared = 0) {
    return hint + jitter(Math.max(0, this.#failures++ - spared), this.options);
  }

  /** Open a socket, and serve it to its end.
   *  @returns {Promise<{link: Link, code: number, reason: string}>} */
  #connect(token) {
    return new Promise((resolve) => {
      const socket = new WebSocket(`${this.account.base.replace(/^http/, 'ws')}/ws`);
      const link = (this.#link = new Link(socket));
      const watch = setInterval(() => this.#watch(link), 500);
      const late = setTimeout(() => link.helloAt || link.drop(1006, 'no hello'), HELLO_MS);
      const end = (code, reason) => {
        clearInterval(watch);
        clearTimeout(late);
        link.leaving = true;
        socket.onopen = socket.onmessage = socket.onerror = socket.onclose = null;
        resolve({ link, code, reason });
      };
      link.drop = (code, reason) => {
        end(code, reason);
        socket.close(1000);
      };
      socket.onopen = () => this.#send({ t: 'auth', token });
      socket.onerror = () => { if (!link.helloAt) end(1006, 'refused'); };
      socket.onclose = ({ code, reason }) => end(code, reason);
      socket.onmessage = ({ data }) => {
        const frame = JSON.parse(data);
        this.on.frame?.('received', frame);
        link.heardAt = now();
        link.probedUntil = 0;
        if (frame.t === 'hello') this.#atHello(frame, link);
        else this.#take(frame, link);
      };
    });
  }

  /** @param {object} [asked] what the answer is to be told to */
  #send(frame, asked) {
    const link = this.#link;
    if (!link?.open) return;
    const numbered = { ...frame, ref: ++this.#ref };
    if (asked) link.waiting.set(numbered.ref, asked);
    this.on.frame?.('sent', numbered);
    link.socket.send(JSON.stringify(numbered));
  }

  /** Is anybody there (step 9)? Pings are out of reach here, so ask. */
  #watch(link) {
    const at = now(), woken = at - link.watchedAt > 5000;
    link.watchedAt = at;
    if (!link.helloAt) return;
    if (link.probedUntil && at > link.probedUntil) link.drop(1006, 'dead link');
    else if (this.outbox.isOverdue()) link.drop(1006, 'no answer to a write');
    else if (!link.probedUntil && (woken || at - link.heardAt > 1000 * link.heartbeat)) {
      link.probedUntil = at + (woken ? WOKEN_MS : PROBE_MS);
      this.#send({ t: 'ping' });
    }
  }

  #atHello({ epoch, limits, heartbeat, exp }, link) {
    const another = this.epoch !== null && this.epoch !== epoch;
    Object.assign(link, { helloAt: now(), heartbeat, exp });
    this.#limits = limits;
    this.epoch = epoch;
    this.#refreshed = false;
    this.on.state?.('connected', { epoch });
    if (another) this.#startAllOver();
    else this.#subscribe([...this.followed]);
    this.outbox.begin(limits, (frame, write) => this.#send(frame, { write }));
    if (this.options.everyChannel)
      this.#followAll().catch((error) => this.on.log?.('no list of channels', error));
  }

  async #followAll() {
    for (let cursor = 0, page; cursor !== null; cursor = page.next) {
      page = await this.account.call('GET', `/channels?scope=mine&limit=200&cursor=${cursor}`);
      for (const { id } of page.items) this.#followNew(id);
    }
  }

  #followNew(ch) {
    const { subs } = this.#limits;
    if (this.followed.has(ch) || this.unwanted.has(ch)) return;
    if (!subs || this.followed.size < subs) this.follow(ch);
  }

  /** @param {[number, number | null][]} cursors of the present epoch */
  #subscribe(cursors) {
    const { subs, frameBytes } = this.#limits; // 0: no limit. A channel takes up to 36 bytes
    const most = Math.min(1000, subs || 1000, Math.floor((frameBytes || 65_536) / 40) - 4);
    for (let from = 0; from < cursors.length; from += most) {
      const sub = Object.fromEntries(cursors.slice(from, from + most));
      this.#send({ t: 'sub', ch: sub, epoch: this.epoch }, { sub, epoch: this.epoch });
    }
  }

  // ---- what comes (step 5)

  #take(frame, link) {
    const asked = link.waiting.get(frame.ref);
    if (['ok', 'ack', 'error'].includes(frame.t)) link.waiting.delete(frame.ref);
    switch (frame.t) {
      case 'ok':
        if (asked?.sub) this.#followed(asked, frame.ch);
        if (asked?.auth) this.#renewed(frame.exp, link);
        break;
      case 'ack':
        if (asked?.write) this.outbox.acked(asked.write, frame);
        break;
      case 'error':
        this.#error(frame, asked, link);
        break;
      case 'bye': // the close follows
        link.comeBackIn = frame.in;
        link.leaving = true;
        this.outbox.pause();
        break;
      case 'reset':
        this.#reset(frame);
        break;
      case 'added':
        if (this.options.everyChannel) this.#followNew(frame.ch);
        break;
      case 'removed':
        this.unwanted.delete(frame.ch);
        this.#forget(frame.ch, frame.reason);
        break;
      case 'expiring':
        this.#renew(link).catch((error) => this.on.log?.('not renewed', error));
        break;
      default:
        if (frame.t !== 'read' && Number.isInteger(frame.ch) && Number.isInteger(frame.seq))
          this.#entry(frame, link);
    }
  }

  #entry(entry, link) {
    const cursor = this.followed.get(entry.ch) ?? Infinity; // none: it was on its way when we left
    if (entry.seq <= cursor) return;
    if (entry.seq > cursor + 1) { // a fault: come back and read the log again, never skip
      this.on.log?.('gap', cursor, entry);
      link.drop(1006, 'gap');
      return;
    }
    this.on.entry?.(entry);
    this.followed.set(entry.ch, entry.seq);
  }

  #followed(asked, answer) {
    for (const [id, { head, error }] of Object.entries(answer)) {
      const ch = Number(id), from = asked.sub[id] ?? head;
      if (error) this.#forget(ch, error);
      else if (this.followed.get(ch) === null && asked.epoch === this.epoch) {
        this.followed.set(ch, from);
        this.on.opened?.(ch, from);
      }
    }
  }

  #forget(ch, why) { if (this.followed.delete(ch)) this.on.removed?.(ch, why); }

  #error(frame, asked, link) {
    const { code, message, retry, after } = frame;
    if (!link.helloAt) link.hint = after ?? 0; // a close follows, whose code says what to do
    else if (asked?.write) this.outbox.failed(asked.write, frame);
    else if (asked?.sub && retry) this.#askAgain(asked, after ?? 1000, link);
    else this.on.log?.('error', code, message);
  }

  /** A `sub` was refused (step 3): ask for what is followed by then, from the cursors of then. */
  async #askAgain({ sub, epoch }, after, link) {
    await sleep(after + jitter(link.subRefusals++, this.options));
    if (link !== this.#link || epoch !== this.epoch) return;
    const left = Object.keys(sub).map(Number).filter((ch) => this.followed.has(ch));
    this.#subscribe(left.map((ch) => [ch, this.followed.get(ch) ?? sub[ch]]));
  }

  /** At `expiring` (step 8): show a new token on the live socket. */
  async #renew(link) {
    const { access } = await this.account.refresh();
    if (link === this.#link) this.#send({ t: 'auth', token: access }, { auth: true });
  }

  #renewed(exp, link) {
    if (exp <= link.exp) this.on.log?.('the session ends: sign in anew soon'); // 4202 will come
    link.exp = exp;
  }

  // ---- another history (step 10)

  #reset({ ch, epoch }) {
    if (epoch !== this.epoch) { // it is that of all channels
      this.epoch = epoch;
      this.#startAllOver();
    } else if (Number.isInteger(this.followed.get(ch))) this.#startOver(ch); // else: under way
  }

  #startAllOver() { for (const ch of this.followed.keys()) this.#startOver(ch); }

  /** If the connection ends meanwhile, the next hello follows the channel from its head on. */
  async #startOver(ch) {
    const link = this.#link, epoch = this.epoch;
    this.followed.set(ch, null);
    this.on.reset?.(ch);
    try {
      const { lastSeq, role } = await this.account.call('GET', `/channels/${ch}`);
      if (role === null) this.#forget(ch, 'forbidden');
      if (link === this.#link && epoch === this.epoch && this.followed.get(ch) === null)
        this.#subscribe([[ch, lastSeq]]);
    } catch (error) {
      if (error.code === 'not_found') this.#forget(ch, error.code);
      else this.on.log?.('not asked', ch, error);
    }
  }
}
