// @ts-check
/**
 * The chat as one user has it: what comes over the socket and by REST, brought into one state.
 *
 * Owns: channels, people, the outbox as it is seen here, and which channel is open. Tells that
 * something has changed, and not what: who draws looks at all of it, once a frame. No DOM. Lost
 * with the page is only what the server has; drafts and the outbox are kept.
 */

import { Channels } from "./channels.js"
import { Kept } from "./kept.js"
import { Opened } from "./opened.js"
import { People } from "./people.js"
import { Refused, Rest } from "../rtchat.js"

const READ_MS = 800 // how often at most it is said how far one has read
const TRY_AGAIN_MS = 4000
const DMS_MAX = 500 // whose people are remembered on this device

/** What went wrong, for people. @param {unknown} error */
export function words(error) {
  if (error instanceof Refused) return error.message
  if (error instanceof TypeError) return "The server cannot be reached."
  if (typeof error === "string") return error
  return error instanceof DOMException ? "The server did not answer in time." : String(error)
}

export class Chat {
  /** @type {any[]} writes without an acknowledgement */
  outbox = []
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #reading
  /** Channels of which it is not said yet how far they are read. @type {Set<number>} */
  #toTell = new Set()
  #refreshing = false
  #stopped = new AbortController()
  /** A dialog that follows. @type {(() => void) | null} */
  onDetails = null

  /**
   * @param {import("../rtchat.js").Session} session
   * @param {import("../rtchat.js").Client} client
   * @param {() => void} onChange
   * @param {(text: string) => void} onWord something to be said once
   */
  constructor(session, client, onChange, onWord) {
    this.session = session
    this.client = client
    this.rest = new Rest(session)
    this.onChange = onChange
    this.onWord = onWord
    this.me = session.user?.id ?? 0
    this.kept = new Kept(session)
    this.channels = new Channels()
    this.channels.me = this.me
    this.people = new People((ids) => this.rest.users(ids), onChange)
    if (session.user) this.people.put([session.user])
    this.opened = new Opened(this)
    this.dms = new Dms(this)
  }

  start() {
    const on = (/** @type {any} */ name, /** @type {(detail: any) => void} */ take) => {
      const listener = (/** @type {any} */ event) => {
        take(event.detail)
        this.onChange()
      }
      this.client.addEventListener(name, listener, { signal: this.#stopped.signal })
    }
    on("state", ({ name }) => name !== "online" && this.people.forget())
    on("hello", () => this.refresh())
    on("entry", (entry) => this.#entry(entry))
    on("ack", (ack) => this.#acked(ack))
    on("outbox", () => (this.outbox = this.client.outbox))
    on("typing", ({ ch, user }) => user !== this.me && this.people.types(ch, user, Date.now()))
    on("presence", ({ user, status }) => this.people.presence(user, status))
    on("read", ({ ch, user, seq }) => user === this.me && this.channels.read(ch, seq))
    on("added", ({ channel }) => this.#joined(channel))
    on("removed", ({ ch, reason }) => this.left(ch, reason))
    on("reset", ({ ch }) => this.#again(ch))
    this.client.start()
    this.outbox = this.client.outbox
    this.refresh()
  }

  stop() {
    this.#stopped.abort()
    clearTimeout(this.#reading)
    this.client.stop()
  }

  // --- what comes

  /** The list of channels as it is now; hints of a change can be lost, so after each `hello`. */
  async refresh() {
    if (this.#refreshing) return
    this.#refreshing = true
    try {
      const list = await this.rest.myChannels()
      this.channels.replace(/** @type {any} */ (list))
      this.#follow(list)
      this.dms.look()
    } catch (error) {
      if (!this.#stopped.signal.aborted) setTimeout(() => this.refresh(), TRY_AGAIN_MS)
    } finally {
      this.#refreshing = false
    }
    this.onChange()
  }

  /** @param {{id: number, lastSeq: number | null}[]} list */
  async #follow(list) {
    const known = this.client.cursors()
    const fresh = list.filter(({ id }) => !(id in known))
    if (!fresh.length) return
    const cursors = Object.fromEntries(fresh.map(({ id, lastSeq }) => [id, lastSeq ?? 0]))
    const standings = await this.client.subscribe(cursors).catch(() => ({}))
    for (const [id, { error }] of Object.entries(standings)) {
      if (error === "reset") this.#again(Number(id))
    }
  }

  /** @param {any} entry */
  #entry(entry) {
    this.people.typed(entry.ch, entry.user, Date.now())
    this.channels.apply(entry, this.opened.watched && entry.ch === this.opened.id)
    this.opened.apply(entry)
  }

  /** What was acknowledged is in the log, though its entry may come a little later. */
  #acked(/** @type {any} */ { nonce, ch, seq, ts }) {
    const write = this.outbox.find((one) => one.nonce === nonce)
    if (!write) return
    const t = write.kind === "send" ? "msg" : write.kind
    const { of, content, emoji, on } = write
    this.opened.apply({ t, ch, seq, ts, user: this.me, of, content, emoji, on })
  }

  /** @param {any} channel */
  #joined(channel) {
    this.channels.put(channel)
    this.#follow([channel])
    this.dms.look()
  }

  /** @param {number} ch @param {string} reason */
  left(ch, reason) {
    const channel = this.channels.all.get(ch)
    this.channels.drop(ch)
    this.opened.forget(ch)
    this.onChange()
    if (!channel || reason === "left") return
    const done = reason === "deleted" ? "was deleted" : "is not open to you any more"
    this.onWord(`${this.title(channel)} ${done}.`)
  }

  /** A log that has begun anew. @param {number} ch */
  async #again(ch) {
    this.opened.forget(ch, true)
    try {
      const channel = await this.rest.channel(ch)
      this.channels.all.delete(ch) // what was counted is of another log
      this.channels.put(/** @type {any} */ (channel))
      await this.#follow([channel])
      this.opened.reload(ch)
    } catch (error) {
      this.onWord(words(error))
    }
    this.onChange()
  }

  // --- what is called how

  /** @param {import("./channels.js").Channel} channel */
  title(channel) {
    if (channel.type !== "dm") return channel.name ?? ""
    const others = this.channels.others.get(channel.id)
    if (!others) return "…"
    return others.map((id) => this.people.name(id)).join(", ") || "Notes to yourself"
  }

  // --- what one does

  /** How far one has read; said now and then. @param {number} ch */
  read(ch) {
    const channel = this.channels.all.get(ch)
    if (!channel || !this.channels.read(ch, channel.lastSeq)) return
    this.#toTell.add(ch)
    this.#reading ??= setTimeout(() => {
      this.#reading = undefined
      for (const id of this.#toTell) {
        const seq = this.channels.all.get(id)?.readSeq
        if (seq) this.client.read(id, seq)
      }
      this.#toTell.clear()
    }, READ_MS)
    this.onChange()
  }

  /**
   * Write in the channel that is open; say what cannot even be tried.
   * @typedef {import("../rtchat.js").Pending} Pending
   * @param {(client: import("../rtchat.js").Client, id: number) => Pending} act
   */
  write(act) {
    try {
      act(this.client, this.opened.id).acked.catch(() => {}) // the outbox shows what became of it
      return true
    } catch (error) {
      this.onWord(words(error))
      return false
    }
  }

  /** One is a member now, and looks at it. @param {any} channel */
  entered(channel) {
    this.#joined(channel)
    this.opened.open(channel.id)
  }
}

/** Who is in which direct conversation: asked for once, and kept, for it never changes. */
class Dms {
  /** @type {Set<number>} */
  #asked = new Set()

  /** @param {Chat} chat */
  constructor(chat) {
    this.chat = chat
    for (const [id, others] of chat.kept.get("dms") ?? []) chat.channels.meet(id, others)
  }

  async look() {
    const { channels, me, rest } = this.chat
    for (const { id } of channels.dms) {
      if (channels.others.has(id) || this.#asked.has(id)) continue
      this.#asked.add(id)
      try {
        const { items } = await rest.members(id)
        this.chat.people.put(items.map(({ user }) => user))
        channels.meet(
          id,
          items.map(({ user }) => user.id).filter((user) => user !== me),
        )
        this.chat.kept.put("dms", [...channels.others].slice(-DMS_MAX))
        this.chat.onChange()
      } catch {
        this.#asked.delete(id) // at the next `hello` again
      }
    }
  }
}
