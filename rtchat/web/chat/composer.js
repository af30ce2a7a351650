// @ts-check
/**
 * Where one writes: a message, or another text for one that stands.
 *
 * Owns: drafts, one a channel, kept on this device until they are sent.
 */

import { h, icon, iconButton, say, set } from "./dom.js"
import { lastOwn } from "./rows.js"
import { length } from "./format.js"

const LINES_MAX = 8
const NEAR_LIMIT = 0.8 // of the characters: from here on they are counted
const PLACE_MAX = 32 // characters of a placeholder
const DRAFTS_MAX = 50
const SAVE_MS = 400
const TYPING_MS = 2500

export class Composer {
  #id = 0
  /** @type {{seq: number, content: string} | null} the message that gets another text */
  #editing = null
  #typedAt = 0
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #saving

  /** @param {import("./chat.js").Chat} chat @param {() => void} onSent */
  constructor(chat, onSent) {
    this.chat = chat
    this.onSent = onSent
    /** @type {Map<number, string>} */
    this.drafts = new Map(chat.kept.get("drafts") ?? [])
    this.text = h("textarea", {
      rows: 1,
      name: "message",
      dir: "auto",
      enterkeyhint: "send",
      "aria-describedby": "composer-told",
      autocomplete: "off",
    })
    this.told = h("p.count", { id: "composer-told" })
    this.editing = h(
      "p.editing",
      { hidden: true },
      "Editing a message ",
      iconButton("close", "Stop editing", () => this.stopEditing()),
    )
    const send = h(
      "button.icon-button send",
      { type: "submit", "aria-label": "Send", title: "Send" },
      icon("send"),
    )
    this.element = h("form.composer", {}, this.editing, this.text, send, this.told)
    this.element.addEventListener("submit", (/** @type {Event} */ event) => {
      event.preventDefault()
      this.#send()
    })
    this.text.addEventListener("input", () => this.#typed())
    this.text.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => this.#key(event))
    addEventListener("pagehide", () => this.#save())
  }

  draw() {
    const { opened } = this.chat
    const { channel } = opened
    if (!channel) return
    const title = this.chat.title(channel)
    const label = `Message ${channel.type === "dm" ? "" : "#"}${title}`
    set(this.text, "aria-label", label)
    set(this.text, "placeholder", label.length > PLACE_MAX ? "Message" : label)
    if (this.#id === opened.id) return
    if (this.#id) this.#keep()
    this.#id = opened.id
    this.#editing = null
    this.editing.hidden = true
    this.#put(this.drafts.get(opened.id) ?? "")
  }

  focus() {
    this.text.focus({ preventScroll: true })
  }

  /** @param {number} seq @param {string} content */
  edit(seq, content) {
    if (!this.#editing) this.#keep()
    this.#editing = { seq, content }
    this.editing.hidden = false
    this.#put(content)
    this.focus()
  }

  stopEditing() {
    if (!this.#editing) return
    this.#editing = null
    this.editing.hidden = true
    this.#put(this.drafts.get(this.#id) ?? "")
    this.focus()
  }

  /** @param {string} text */
  #put(text) {
    this.text.value = text
    this.#measure()
  }

  #measure() {
    const { value } = this.text
    if (!CSS.supports("field-sizing", "content")) {
      set(this.text, "rows", Math.min(LINES_MAX, value.split("\n", LINES_MAX).length))
    }
    const max = this.#max
    const used = value.length > max * NEAR_LIMIT ? length(value) : 0
    const left = max - used
    say(this.told, used > max * NEAR_LIMIT ? (left < 0 ? `${-left} too many` : `${left} left`) : "")
    this.told.classList.toggle("bad", left < 0)
    this.element.classList.toggle("blank", !value.trim())
  }

  get #max() {
    return this.chat.client.hello?.limits.contentChars ?? 4000
  }

  #typed() {
    this.#measure()
    if (this.#editing) return
    this.#saving ??= setTimeout(() => this.#save(), SAVE_MS)
    if (!this.text.value.trim() || Date.now() - this.#typedAt < TYPING_MS) return
    this.#typedAt = Date.now()
    this.chat.client.typing(this.#id)
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    if (event.isComposing || event.keyCode === 229) return // an input method is at work
    const isPlain = !event.altKey && !event.ctrlKey && !event.metaKey && !event.shiftKey
    if (event.key === "Enter" && isPlain) {
      event.preventDefault()
      this.#send()
    } else if (event.key === "Escape" && this.#editing) {
      event.stopPropagation()
      this.stopEditing()
    } else if (event.key === "ArrowUp" && isPlain && !this.text.value && !this.#editing) {
      const own = lastOwn(this.chat.opened.log.items, this.chat.me)
      if (!own) return
      event.preventDefault()
      this.edit(own.seq, own.content)
    }
  }

  #send() {
    const content = this.text.value
    if (!content.trim() || length(content) > this.#max) return this.focus()
    const edited = this.#editing
    const isDone =
      edited?.content === content ||
      this.chat.write((client, id) =>
        edited ? client.edit(id, edited.seq, content) : client.send(id, content),
      )
    if (!isDone) return
    if (edited) return this.stopEditing()
    this.#put("")
    this.#typedAt = 0
    this.#save()
    this.focus()
    this.onSent()
  }

  // --- drafts

  #keep() {
    if (this.#editing) return
    this.drafts.delete(this.#id)
    if (this.text.value.trim()) this.drafts.set(this.#id, this.text.value)
    for (const id of this.drafts.keys()) {
      if (this.drafts.size <= DRAFTS_MAX) break
      this.drafts.delete(id)
    }
  }

  #save() {
    clearTimeout(this.#saving)
    this.#saving = undefined
    this.#keep()
    this.chat.kept.put("drafts", [...this.drafts])
  }
}
