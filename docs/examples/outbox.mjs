// The writes that have no answer yet, and when each is tried (step 6 of docs/websocket.md). The
// outcome of what is in here is unknown, not failed: it is tried until there is an answer.
import { Refused, now } from './account.mjs';

/** @typedef {{seq: number, ts: number, dup: boolean}} Ack */
/** @typedef {Object} Write
 * @property {number} ch
 * @property {string} content
 * @property {string} nonce  made before the first try, and never changed
 * @property {number} tries
 * @property {boolean} underWay  on the present connection
 * @property {number} sentAt
 * @property {(ack: Ack) => void} resolve
 * @property {(error: Refused) => void} reject */

const ANSWER_MS = 30_000;
const MOST_UNDER_WAY = 64;
const PACED_MS = 2000; // without a write for so long: the pace is forgotten
const MOST_WAITING = 1000;

const frameOf = ({ ch, content, nonce }) => ({ t: 'send', ch, content, nonce });
const bytes = (frame) => new TextEncoder().encode(JSON.stringify(frame)).length;

export class Outbox {
  /** @type {Map<number, Write[]>} channel → its writes, the oldest first */ #writes = new Map();
  /** @type {((frame: object, write: Write) => void) | null} null: nothing may be sent now */
  #send = null;
  #limits = { frameBytes: 65_536, sendsPerSecond: 20 }; // until hello
  #allowed = MOST_UNDER_WAY;
  #resumeAt = 0; // no write before that
  #held = new Map(); // channel → no write of it before that
  #paceMs = 0;
  #lastWrite = 0;
  #timer = null;

  /** All of them. @returns {Write[]} */
  get writes() { return [...this.#writes.values()].flat(); }

  /** @returns {Promise<Ack>} rejected, with Refused, by a final error only */
  add(ch, content) {
    return new Promise((resolve, reject) => {
      const nonce = crypto.randomUUID();
      const write = { ch, content, nonce, tries: 0, underWay: false, sentAt: 0, resolve, reject };
      // White space, NUL and length are left to the server, whose error is final and harmless. But
      // these two would be answered by a close, or not at all.
      if (this.#isTooLong(write)) return reject(new Refused('too_long', 'It is too long.'));
      if (!content.isWellFormed()) return reject(new Refused('bad_field', 'Half a character.'));
      if (this.writes.length >= MOST_WAITING) return reject(new Refused('full', 'Too many wait.'));
      if (!this.#writes.has(ch)) this.#writes.set(ch, []);
      this.#writes.get(ch).push(write);
      return this.#pump();
    });
  }

  #isTooLong(write) {
    const { frameBytes } = this.#limits; // 0: no limit
    const longest = bytes({ ...frameOf(write), ref: Number.MAX_SAFE_INTEGER });
    return frameBytes > 0 && longest > frameBytes;
  }

  /** At hello: send what is here, with the nonces that it has. */
  begin(limits, send) {
    this.#limits = limits;
    this.#send = send;
    this.#allowed = MOST_UNDER_WAY;
    this.#resumeAt = this.#paceMs = 0;
    this.#held.clear();
    this.#pump();
  }

  /** At bye: send no more, but take the answers that come. */
  pause() {
    this.#send = null;
    clearTimeout(this.#timer);
  }

  /** The connection is gone, and of it nothing is under way any more. */
  end() {
    this.pause();
    for (const write of this.writes) write.underWay = false;
  }

  /** Whether an answer should have come by now. */
  isOverdue() {
    return this.writes.some(({ underWay, sentAt }) => underWay && now() - sentAt > ANSWER_MS);
  }

  acked(write, { seq, ts, dup = false }) {
    this.#allowed = Math.min(MOST_UNDER_WAY, this.#allowed + 1);
    this.#settle(write, () => write.resolve({ seq, ts, dup }));
  }

  failed(write, { code, message, retry, after }) {
    if (!retry) return this.#settle(write, () => write.reject(new Refused(code, message)));
    // It is not done, or unknown: it stays in its place, and waits.
    const wait = after ?? Math.random() * Math.min(10_000, 500 * 2 ** write.tries);
    write.underWay = false;
    if (code === 'internal') this.#held.set(write.ch, now() + wait);
    else {
      this.#resumeAt = Math.max(this.#resumeAt, now() + wait);
      this.#allowed = 1; // one tries the ground
    }
    const { sendsPerSecond } = this.#limits;
    if (code === 'rate_limited' && sendsPerSecond) this.#paceMs = 1050 / sendsPerSecond;
    return this.#pump();
  }

  /** Answered for good. It is its channel's oldest, as they go out one at a time. */
  #settle(write, tell) {
    const writes = this.#writes.get(write.ch);
    writes.shift();
    if (!writes.length) this.#writes.delete(write.ch);
    tell();
    this.#pump();
  }

  /** Send what may be sent: one write of each channel, the oldest, in turn. */
  #pump() {
    clearTimeout(this.#timer);
    if (!this.#send) return;
    let again = Infinity;
    let underWay = [...this.#writes.values()].filter(([oldest]) => oldest.underWay).length;
    for (const [ch, writes] of [...this.#writes]) {
      const [write] = writes, at = now();
      if (write.underWay) continue;
      if (this.#isTooLong(write)) { // a limit has changed; if it was tried, it may be stored
        const code = write.tries ? 'unknown' : 'too_long';
        return this.#settle(write, () => write.reject(new Refused(code, 'It is too long now.')));
      }
      if (underWay >= this.#allowed) break;
      if (at - this.#lastWrite > PACED_MS) this.#paceMs = 0;
      const paced = this.#paceMs && this.#lastWrite + this.#paceMs;
      const from = Math.max(this.#resumeAt, this.#held.get(ch) ?? 0, paced);
      if (from > at) {
        again = Math.min(again, from);
        continue;
      }
      Object.assign(write, { underWay: true, sentAt: at, tries: write.tries + 1 });
      underWay++;
      this.#lastWrite = at;
      this.#send(frameOf(write), write);
      this.#writes.delete(ch);
      this.#writes.set(ch, writes); // behind the others
    }
    if (again < Infinity) this.#timer = setTimeout(() => this.#pump(), again - now() + 1);
    return undefined;
  }
}
