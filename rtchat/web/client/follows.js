// @ts-check
/**
 * Which tabs follow which channels, over one socket.
 *
 * Owns: two kinds of cursors. Each tab has one in each channel, the last entry that it was given;
 * the socket has one too, as the server moves it. A tab that comes with an older cursor moves the
 * socket's back; the server tells the log again from there, and the others pass over what they
 * have. Must never: give a tab an entry twice or past a hole, or resume in another history. Lost
 * with the engine; each tab knows its own cursors, and brings them to the next one.
 */

import { jitter } from "./backoff.js"

const CHANNELS_MAX = 1000 // of one `sub`
const CHANNEL_BYTES = 40 // at most, in its frame
const FRAME_BYTES = 160 // of its frame, besides
const AGAIN_MS = 1000
const RETRIED = new Set(["rate_limited", "overloaded", "unavailable", "draining", "internal"])

/**
 * @typedef {import("./engine.js").Tab} Tab
 * @typedef {import("./link.js").Link} Link
 * @typedef {{cursor: number | null, epoch: string | null, ask: number, standing: boolean}} Place
 *   of a tab
 * @typedef {{cursor: number | null, asked: (number | null)[], tabs: Map<Tab, Place>}} Followed
 *   `cursor`: the socket's, null before the first `ok`; `asked`: the moves that are on their way
 */

export class Follows {
  /** Of all places that stand. @type {string | null} */
  epoch = null
  /** @type {Map<number, Followed>} */
  #channels = new Map()
  /** @type {Link | null} */
  #link = null
  #refusals = 0 // of this link

  /** @param {{backOffMs: number, backOffMaxMs: number}} times
   * @param {(what: string, error: unknown) => void} fault */
  constructor(times, fault) {
    this.times = times
    this.fault = fault
  }

  // --- what tabs want

  /** @param {Tab} tab @param {[number, number | null, string | null, number][]} places */
  want(tab, places) {
    for (const [ch, cursor, epoch, ask] of places) {
      let followed = this.#channels.get(ch)
      if (!followed) this.#channels.set(ch, (followed = { cursor: null, asked: [], tabs: new Map() }))
      followed.tabs.set(tab, { cursor, epoch: epoch ?? this.epoch, ask, standing: false })
    }
    this.#ask(places.map(([ch]) => ch))
  }

  /** @param {Tab} tab @param {Iterable<number>} channels */
  leave(tab, channels) {
    const left = []
    for (const ch of channels) {
      const tabs = this.#channels.get(ch)?.tabs
      if (tabs?.delete(tab) && !tabs.size) left.push(ch)
    }
    for (const ch of left) this.#channels.delete(ch)
    if (left.length) this.#link?.send({ t: "unsub", ch: left })
  }

  /** @param {Tab} tab */
  leaveAll(tab) {
    this.leave(tab, [...this.#channels.keys()])
  }

  /** The tabs that follow a channel. @param {number} ch */
  of(ch) {
    return this.#channels.get(ch)?.tabs.keys() ?? []
  }

  // --- the socket comes and goes

  /** At hello. @param {Link} link */
  begin(link) {
    this.#link = link
    this.#refusals = 0
    this.epoch = link.hello.epoch
    for (const followed of this.#channels.values()) Object.assign(followed, { cursor: null, asked: [] })
    this.#ask([...this.#channels.keys()])
  }

  end() {
    this.#link = null
  }

  /** @param {number[]} channels */
  #ask(channels) {
    const link = this.#link
    if (!link) return
    const { subs, frameBytes } = link.hello.limits
    const room = frameBytes ? Math.floor((frameBytes - FRAME_BYTES) / CHANNEL_BYTES) : CHANNELS_MAX
    const most = Math.max(1, Math.min(CHANNELS_MAX, subs || CHANNELS_MAX, room))
    const wanted = channels.filter((ch) => this.#isWanted(ch))
    for (let from = 0; from < wanted.length; from += most) {
      this.#askPart(link, wanted.slice(from, from + most))
    }
  }

  /** Whether a tab wants it still, once those of another history are told. @param {number} ch */
  #isWanted(ch) {
    const followed = this.#channels.get(ch)
    if (!followed) return false
    for (const [tab, place] of followed.tabs) {
      const isOther = place.epoch !== null && place.epoch !== this.epoch
      if (isOther && place.cursor !== null) this.#reset(ch, tab, null)
      else place.epoch = this.epoch
    }
    return this.#channels.has(ch)
  }

  /** @param {Link} link @param {number[]} channels */
  #askPart(link, channels) {
    /** @type {Record<number, number | null>} */
    const ch = {}
    /** @type {Map<Followed, Place[]>} who is answered */
    const asked = new Map()
    for (const id of channels) {
      const followed = /** @type {Followed} */ (this.#channels.get(id))
      const places = [...followed.tabs.values()]
      ch[id] = lowest(followed, places)
      followed.asked.push(ch[id])
      asked.set(followed, places)
    }
    link.send({ t: "sub", ch, epoch: this.epoch }, (answer) => {
      if (link !== this.#link) return
      if (answer.t === "ok") this.#answered(asked, answer.ch)
      else this.#refused(asked, channels, answer)
    })
  }

  // --- what the server says

  /** @param {Map<Followed, Place[]>} asked @param {Record<string, any>} answer */
  #answered(asked, answer) {
    const again = []
    for (const [id, { head, error }] of Object.entries(answer)) {
      const ch = Number(id)
      const followed = this.#channels.get(ch)
      const places = followed && asked.get(followed)
      if (!places) continue // left meanwhile
      const moved = followed.asked.shift() ?? null
      if (RETRIED.has(error)) again.push(ch)
      else if (error) this.#over(ch, error, places)
      else this.#stands(ch, followed, places, moved, head)
    }
    if (again.length) this.#askLater(again, AGAIN_MS)
  }

  /** @param {number} ch @param {Followed} followed @param {Place[]} places
   * @param {number | null} moved where the socket's cursor was moved to @param {number} head */
  #stands(ch, followed, places, moved, head) {
    const isFirst = followed.cursor === null
    if (moved !== null) followed.cursor = moved
    else followed.cursor ??= head
    const { cursor } = followed
    for (const [tab, place] of [...followed.tabs]) {
      if (!places.includes(place)) continue // asked for since; its own answer comes
      const isAhead = place.cursor !== null && place.cursor > head && (isFirst || !place.standing)
      if (isAhead && (moved === null || moved <= head)) { // else the server says it itself
        this.#reset(ch, tab, head)
      } else if (place.cursor !== null && place.cursor < cursor) {
        this.#ask([ch]) // entries came before this answer, and were not for this tab yet
      } else if (!place.standing) {
        place.cursor ??= Math.max(head, cursor)
        place.standing = true
        const { epoch } = this
        tab.post({ t: "standing", ch, ask: place.ask, cursor: place.cursor, head, epoch })
      }
    }
  }

  /** @param {Map<Followed, Place[]>} asked @param {number[]} channels @param {any} error */
  #refused(asked, channels, { code, message, retry, after }) {
    for (const [followed] of asked) followed.asked.shift()
    if (retry) this.#askLater(channels, after ?? AGAIN_MS)
    else {
      this.fault("subscriptions were refused", message)
      for (const ch of channels) {
        const places = asked.get(/** @type {Followed} */ (this.#channels.get(ch)))
        if (places) this.#over(ch, code, places)
      }
    }
  }

  /** @param {number[]} channels @param {number} afterMs */
  #askLater(channels, afterMs) {
    const link = this.#link
    const { backOffMs, backOffMaxMs } = this.times
    const waitMs = afterMs + jitter(this.#refusals++, backOffMs, backOffMaxMs)
    setTimeout(() => link === this.#link && this.#ask(channels), waitMs)
  }

  /** The next entry of a channel. False: one is missing, which the server promises not to happen.
   * @param {any} entry @returns {boolean} */
  entry(entry) {
    const followed = this.#channels.get(entry.ch)
    const cursor = followed?.cursor ?? null
    if (!followed || cursor === null || entry.seq <= cursor) return true
    if (entry.seq > cursor + 1) return false
    followed.cursor = entry.seq
    for (const [tab, place] of followed.tabs) {
      if (!place.standing || entry.seq <= Number(place.cursor)) continue
      place.cursor = entry.seq
      tab.post({ t: "entry", entry })
    }
    return true
  }

  /** A membership has ended. @param {number} ch */
  removed(ch) {
    this.#channels.delete(ch)
  }

  /** A cursor, or all, are of another history. @param {{ch: number, head: number, epoch?: string}} frame */
  reset({ ch, head, epoch = this.epoch ?? "" }) {
    const isOther = epoch !== this.epoch
    this.epoch = epoch
    for (const [id, { tabs }] of [...this.#channels]) {
      if (!isOther && id !== ch) continue
      for (const tab of [...tabs.keys()]) this.#reset(id, tab, id === ch ? head : null)
    }
  }

  /** @param {number} ch @param {Tab} tab @param {number | null} head */
  #reset(ch, tab, head) {
    const place = this.#channels.get(ch)?.tabs.get(tab)
    this.leave(tab, [ch])
    if (place?.standing) tab.post({ t: "reset", ch, head, epoch: this.epoch })
    else tab.post({ t: "standing", ch, ask: place?.ask, error: "reset", epoch: this.epoch })
  }

  /** It cannot be followed. @param {number} ch @param {string} error @param {Place[]} places */
  #over(ch, error, places) {
    const tabs = this.#channels.get(ch)?.tabs ?? new Map()
    for (const [tab, place] of [...tabs]) {
      if (!places.includes(place)) continue
      tabs.delete(tab)
      if (place.standing) tab.post({ t: "removed", ch, reason: error })
      else tab.post({ t: "standing", ch, ask: place.ask, error, epoch: this.epoch })
    }
    if (!tabs.size) this.#channels.delete(ch)
  }
}

/** Where the socket's cursor has to go for these; null: where it is, or to the head.
 * @param {Followed} followed @param {Place[]} places */
function lowest({ cursor, asked }, places) {
  const known = [cursor, ...asked].filter((one) => one !== null)
  const wanted = places.map((place) => place.cursor).filter((one) => one !== null)
  const least = Math.min(...wanted)
  return wanted.length && !(least >= Math.min(...known)) ? least : null
}
