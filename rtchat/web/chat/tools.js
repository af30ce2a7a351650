// @ts-check
/**
 * What one does to a message: react, edit, delete.
 *
 * Owns: the one set of buttons, which goes to the message under the pointer, with the focus, or
 * touched; 250 sets would be most of the page. Arrow keys go from message to message.
 */

import { confirm } from "./forms.js"
import { h, iconButton, set } from "./dom.js"

const REACT =
  "M12 21a9 9 0 1 1 5-16.5M8 14c1 1.3 2 2 4 2s3-.7 4-2M9 9.5v.01M15 9.5v.01M20 2.5v6M17 5.5h6"
const PENCIL = "m4 20 1-4L16 5l3 3L8 19zM14 7l3 3"
const TRASH = "M4 7h16M9 7V4h6v3M6 7l1 13h10l1-13M10 11v5M14 11v5"
const QUICK = ["👍", "❤️", "😂", "🎉", "👀", "✅", "🙏"]

/** @type {WeakMap<import("./chat.js").Chat, Tools>} */
const made = new WeakMap()

/**
 * Have them in this list from now on.
 * @param {import("./chat.js").Chat} chat @param {import("./app.js").App} app
 * @param {Event} event that asked for them; a key that was pressed before they were is not lost
 */
export function tools(chat, app, event) {
  if (!made.has(chat))
    made.set(chat, new Tools(chat, app.list.log, (seq, text) => app.composer.edit(seq, text)))
  if (event instanceof KeyboardEvent && !event.defaultPrevented) made.get(chat)?.key(event)
}

class Tools {
  /** @type {HTMLElement | null} the row that has them */
  #row = null
  #seq = 0

  /**
   * @param {import("./chat.js").Chat} chat
   * @param {HTMLElement} log
   * @param {(seq: number, content: string) => void} edit
   */
  constructor(chat, log, edit) {
    this.chat = chat
    this.log = log
    this.edit = edit
    this.element = h("div.tools", { role: "toolbar", "aria-label": "Message" })
    log.addEventListener("pointerover", (event) => {
      if (event.pointerType === "mouse" && !this.isOpen) this.#at(rowOf(event))
    })
    log.addEventListener("pointerleave", (event) => {
      if (event.pointerType === "mouse" && !this.isOpen) this.#at(null)
    })
    log.addEventListener("click", (event) => this.#touched(event))
    log.addEventListener("focusin", (event) => this.#at(rowOf(event)))
    log.addEventListener("keydown", (event) => this.key(event))
    this.#at(log.querySelector(".msg:hover, .msg:focus-within")) // it was there before these were
  }

  /** Whether one chooses a reaction now. */
  get isOpen() {
    return this.element.classList.contains("open")
  }

  /** On a phone there is no pointer that hovers. @param {MouseEvent} event */
  #touched(event) {
    const isMouse = /** @type {PointerEvent} */ (event).pointerType === "mouse"
    const target = /** @type {Element} */ (event.target)
    if (isMouse || target.closest("button, a") || !getSelection()?.isCollapsed) return
    const row = rowOf(event)
    this.#at(row === this.#row ? null : row)
  }

  /** @param {HTMLElement | null} row */
  #at(row) {
    if (row === this.#row && (!row || this.element.parentElement === row)) return
    this.#row?.classList.remove("active")
    this.element.remove()
    this.#row = null
    const seq = Number(row?.dataset.key?.slice(1))
    const message = row?.dataset.key?.startsWith("m") ? this.chat.opened.log.message(seq) : null
    if (!row || !message || message.deleted) return
    this.#row = row
    this.#seq = seq
    this.#offer(message)
    row.classList.add("active")
    row.append(this.element)
  }

  /** @param {import("./log.js").Message} message */
  #offer({ user, content }) {
    const { me, opened } = this.chat
    const isMine = user === me
    const tools = [iconButton(REACT, "Add a reaction", () => this.#choose())]
    if (isMine) tools.push(iconButton(PENCIL, "Edit", () => this.#edit(content)))
    if (isMine || leads(opened.channel)) {
      tools.push(iconButton(TRASH, "Delete", () => this.erase(this.#seq, content)))
    }
    this.element.classList.remove("open")
    this.element.replaceChildren(...tools)
  }

  /** One is in the field now, and not at the message. @param {string} content */
  #edit(content) {
    const seq = this.#seq
    this.#at(null)
    this.edit(seq, content)
  }

  #choose() {
    const buttons = QUICK.map((emoji) =>
      h(
        "button.icon-button emoji",
        { "aria-label": `React with ${emoji}`, onclick: () => this.#react(emoji) },
        emoji,
      ),
    )
    const other = h("input.other", {
      "aria-label": "Another emoji",
      maxlength: 16,
      placeholder: "…",
      autocomplete: "off",
    })
    other.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
      if (event.key === "Enter" && !event.isComposing && other.value.trim())
        this.#react(other.value.trim())
    })
    this.element.classList.add("open")
    this.element.replaceChildren(
      ...buttons,
      other,
      iconButton("close", "No reaction", () => this.close()),
    )
    buttons[0].focus()
  }

  #react(/** @type {string} */ emoji) {
    const seq = this.#seq
    this.chat.write((client, id) => client.react(id, seq, emoji, true))
    this.close()
    if (matchMedia("(hover: none)").matches) this.#at(null) // else they stay until a touch elsewhere
  }

  /** @param {number} seq @param {string} content */
  erase(seq, content) {
    const { id } = this.chat.opened
    this.#row?.setAttribute("tabindex", "-1")
    this.#row?.focus({ preventScroll: true }) // what was pressed goes with the message
    const text = content.length > 200 ? `${content.slice(0, 200)} …` : content
    confirm({
      title: "Delete this message?",
      text: `“${text}” goes for everybody. This cannot be undone.`,
      button: "Delete",
      act: async () => void this.chat.client.remove(id, seq),
    })
  }

  /** Back to the message. */
  close() {
    const row = this.#row
    this.element.remove()
    row?.focus()
    if (row && document.activeElement !== row) this.#at(null)
    this.#row = null
    if (row) this.#at(row)
  }

  /** @param {KeyboardEvent} event */
  key(event) {
    if (event.key === "Escape" && this.isOpen) {
      event.stopPropagation()
      return this.close()
    }
    const step = { ArrowUp: -1, ArrowDown: 1 }[event.key]
    const isInside = /** @type {Element} */ (event.target).closest("input, .tools")
    if (!step || isInside || event.altKey || event.ctrlKey || event.metaKey) return
    const all = [...this.log.querySelectorAll(".msg")]
    const at = all.findIndex((row) => row.contains(document.activeElement))
    const next = /** @type {HTMLElement} */ (all[at < 0 ? all.length - 1 : at + step])
    if (!next) return
    event.preventDefault()
    set(next, "tabindex", "-1")
    next.focus({ preventScroll: true })
    next.scrollIntoView({ block: "nearest" })
  }
}

/** @param {Event} event @returns {HTMLElement | null} */
const rowOf = (event) => /** @type {Element} */ (event.target).closest(".msg")

/** Whether one may remove members, rename, make admins. @param {import("./channels.js").Channel | undefined} channel */
export const leads = (channel) =>
  channel?.type !== "dm" && (channel?.role === "owner" || channel?.role === "admin")
