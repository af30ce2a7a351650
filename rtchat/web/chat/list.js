// @ts-check
/**
 * The list of messages: which rows stand in the page, and where one is in it.
 *
 * Owns: scrolling. What one reads stays where it is, whatever comes above or below; at the end one
 * stays at the end. Reads the layout twice a frame at most. The browser's own anchoring is off:
 * not all have it, and two of them would add up.
 */

import { element, fill, look } from "./row.js"
import { h, icon, say } from "./dom.js"
import { count, plural } from "./format.js"
import { rows } from "./rows.js"

const NEAR_PX = 40 // so near to the end counts as at it
const AHEAD_PX = 900 // so near to an end of the window, more is asked for
const TOLD_MS = 1500 // between two announcements
const TOLD_MAX = 3 // messages read out in one; of more, how many

/** How a channel begins. @param {import("./channels.js").Channel | undefined} channel */
function beginning(channel) {
  if (channel?.type === "dm")
    return "This is where your conversation begins. Nobody else can read it."
  const who = channel?.type === "private" ? "Only its members can" : "Everybody can join and"
  return `This is where the channel begins. ${who} read it.`
}

export class List {
  /** @type {Map<string, {element: HTMLElement, look: any[]}>} */
  #rows = new Map()
  /** @type {import("./log.js").Item[]} */
  #drawn = []
  #turn = -1
  #atEnd = true
  #told = 0 // the last seq that was announced
  #toldAt = 0
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #later
  #id = 0

  /**
   * @param {import("./chat.js").Chat} chat
   * @param {import("./row.js").Context} context
   */
  constructor(chat, context) {
    this.chat = chat
    this.context = context
    this.list = h("ol.rows")
    this.notice = h("p.notice", { role: "status" })
    this.log = h(
      "div.log",
      {
        role: "log",
        "aria-live": "off",
        "aria-label": "Messages",
        tabindex: "0",
      },
      this.notice,
      this.list,
    )
    this.jump = h("button.jump", { hidden: true, onclick: () => this.toEnd() })
    this.live = h("div.unseen", { "aria-live": "polite" })
    this.element = h("div.messages", {}, this.log, this.jump, this.live)
    this.log.addEventListener("scroll", () => this.#scrolled(), { passive: true })
    new ResizeObserver(() => this.#atEnd && this.#bottom()).observe(this.log)
  }

  get isWatched() {
    return this.#atEnd && document.visibilityState === "visible" && document.hasFocus()
  }

  toEnd() {
    this.chat.opened.latest()
  }

  draw() {
    const { opened, me } = this.chat
    const { log } = opened
    const isTurned = this.#turn !== opened.turns
    const start = log.loaded && !log.hasOlder ? beginning(opened.channel) : ""
    if (this.#id !== opened.id) this.#clear()
    const made = rows(log.items, log.atHead ? opened.writes : [], {
      me,
      newAfter: opened.newAfter,
      now: Date.now(),
      start,
    })
    const anchor = isTurned || this.#atEnd ? null : this.#anchor()
    const isOther = this.#place(made)
    this.#drawn = log.items
    this.#says(opened)
    if (isTurned && log.loaded) {
      this.#turn = opened.turns
      this.#begin(opened)
    } else if (anchor) {
      this.log.scrollTop += anchor.element.getBoundingClientRect().bottom - anchor.bottom
    } else if (isOther && log.atHead) {
      this.#bottom()
    }
    log.following = this.#atEnd
    this.#buttons(opened)
    this.#announce(log.items)
    if (this.#id !== opened.id) this.#id = opened.id
    opened.watched = this.isWatched && log.atHead
    if (opened.watched && log.loaded) this.chat.read(opened.id)
    if (isOther) this.#more()
  }

  // --- rows

  #clear() {
    this.#rows.clear()
    this.list.replaceChildren()
  }

  /**
   * Bring the rows into the page; whether any is another one.
   * @param {import("./rows.js").Row[]} made
   */
  #place(made) {
    const keys = new Set(made.map(({ key }) => key))
    let isOther = false
    for (const [key, { element }] of this.#rows) {
      if (keys.has(key)) continue
      element.remove()
      this.#rows.delete(key)
      isOther = true
    }
    let next = this.list.firstElementChild
    for (const row of made) {
      const now = look(row, this.context)
      let known = this.#rows.get(row.key)
      if (!known) {
        known = { element: element(row, this.context), look: now }
        this.#rows.set(row.key, known)
        isOther = true
      } else if (
        now.some((part, index) => part !== known?.look[index]) ||
        now.length !== known.look.length
      ) {
        fill(known.element, row, this.context)
        known.look = now
        isOther = true
      }
      if (known.element === next) next = next.nextElementSibling
      else this.list.insertBefore(known.element, next)
    }
    return isOther
  }

  /** @param {import("./opened.js").Opened} opened */
  #says({ log, failed, busy, id }) {
    const text = failed || (busy && !log.loaded ? "Loading messages …" : "")
    if (this.notice.dataset.text === text) return
    this.notice.dataset.text = text
    const again = h("button.link", { onclick: () => this.chat.opened.again() }, "Try again")
    this.notice.replaceChildren(...(failed ? [`${failed} `, again] : [text]))
    this.notice.hidden = !text || !id
  }

  // --- places

  /** The first row in sight, and where it ends: its head may go when there are older ones. */
  #anchor() {
    const { top } = this.log.getBoundingClientRect()
    const { children } = this.list
    let low = 0
    let high = children.length - 1
    while (low < high) {
      const middle = (low + high) >> 1
      if (children[middle].getBoundingClientRect().bottom > top + 1) high = middle
      else low = middle + 1
    }
    const element = this.#lasting(low)
    return element && { element, bottom: element.getBoundingClientRect().bottom }
  }

  /** A row from there on that will not vanish. @param {number} index */
  #lasting(index) {
    for (let child = this.list.children[index]; child; child = child.nextElementSibling) {
      if (child.matches(".msg, .note")) return child
    }
    return this.list.lastElementChild
  }

  /** At the end, or where one left off. @param {import("./opened.js").Opened} opened */
  #begin(opened) {
    const mark = this.#rows.get("new")?.element
    this.#bottom()
    this.#told = opened.log.last // history is not announced
    if (!mark) return
    const { top } = this.log.getBoundingClientRect()
    const above = mark.getBoundingClientRect().top - top
    if (above >= 0) return
    this.log.scrollTop += above - 60
    this.#atEnd = this.#isAtEnd()
  }

  #bottom() {
    this.log.scrollTop = this.log.scrollHeight
    this.#atEnd = true
  }

  /** At the end of the log, that is, not of the window alone. */
  #isAtEnd() {
    const { scrollHeight, scrollTop, clientHeight } = this.log
    return this.chat.opened.log.atHead && scrollHeight - scrollTop - clientHeight < NEAR_PX
  }

  #scrolled() {
    const before = this.#atEnd
    this.#atEnd = this.#isAtEnd()
    this.#more()
    if (before !== this.#atEnd) this.chat.onChange()
  }

  /** Ask for what comes next before one is there. */
  #more() {
    const { scrollHeight, scrollTop, clientHeight } = this.log
    const { opened } = this.chat
    // Where one is in what is not drawn yet nobody knows: two pages at once may push it out.
    if (opened.failed || this.#drawn !== opened.log.items) return
    if (scrollTop < AHEAD_PX) opened.older()
    if (scrollHeight - scrollTop - clientHeight < AHEAD_PX) opened.newer()
  }

  /** @param {import("./opened.js").Opened} opened */
  #buttons({ log, channel }) {
    const isAway = log.loaded && !(this.#atEnd && log.atHead)
    const unread = channel?.unread ?? 0
    if (this.jump.hidden === !isAway && this.jump.dataset.n === String(unread)) return
    this.jump.hidden = !isAway
    this.jump.dataset.n = String(unread)
    const unseen = unread ? ` (${count(unread)} new)` : ""
    this.jump.replaceChildren(icon("down"), `Jump to latest${unseen}`)
  }

  // --- for those who listen

  /** Read new messages of others out; what was there before is not new. */
  #announce(/** @type {import("./log.js").Item[]} */ items) {
    const now = Date.now()
    const last = items.at(-1)?.seq ?? 0
    if (this.#id !== this.chat.opened.id) this.#told = last
    if (last <= this.#told) return
    if (now - this.#toldAt < TOLD_MS) {
      this.#later ??= setTimeout(() => {
        this.#later = undefined
        this.chat.onChange()
      }, TOLD_MS)
      return
    }
    const { me } = this.chat
    const fresh = []
    for (let at = items.length - 1; at >= 0 && items[at].seq > this.#told; at--) {
      const item = items[at]
      if (item.kind === "msg" && item.user !== me && !item.deleted) fresh.unshift(item)
    }
    this.#told = last
    if (!fresh.length) return
    this.#toldAt = now
    const texts = fresh.map(
      ({ user, content }) => `${this.context.name(user)}: ${content.slice(0, 300)}`,
    )
    say(this.live, fresh.length > TOLD_MAX ? plural(fresh.length, "new message") : texts.join("\n"))
    setTimeout(() => say(this.live, ""), TOLD_MS) // read out, and maybe deleted soon
  }
}
