// @ts-check
/**
 * Fields with their errors beside them, forms that wait for the server, and dialogs.
 *
 * Owns: where a refusal is shown: at the field that it names, else above the button. Dialogs are
 * the browser's own: they keep the focus inside, give it back, and close at Escape.
 */

import { h, iconButton, say, set } from "./dom.js"
import { words } from "./chat.js"

const WAIT = "One moment …"
let fields = 0

// Their looks come with them: whoever loads this module has them when it runs.
const looks = h("link", { rel: "stylesheet", href: new URL("./forms.css", import.meta.url).href })
await new Promise((resolve) => {
  looks.onload = looks.onerror = resolve
  document.head.append(looks)
})

/**
 * A labelled input. `element` goes into the page; `value` is what was typed.
 * @param {{label: string, name: string, hint?: string, [attribute: string]: any}} given
 */
export function field({ label, name, hint = "", ...attributes }) {
  const id = `field-${++fields}`
  const input = h("input", { id, name, "aria-describedby": `${id}-told`, ...attributes })
  const told = h("p", { id: `${id}-told`, class: "told" }, hint)
  const element = h("div.field", {}, h("label", { for: id }, label), input, told)
  input.addEventListener("input", () => tell(""))

  /** @param {string} text */
  function tell(text) {
    set(input, "aria-invalid", text ? "true" : null)
    say(told, text || hint)
    told.classList.toggle("bad", Boolean(text))
  }
  return { element, input, name, tell, value: () => String(input.value) }
}

/**
 * A form that does its work once at a time and shows what was refused.
 * @param {{name?: string, fields: ReturnType<typeof field>[], parts?: Node[], button: string,
 *   wait?: string, danger?: boolean, submit: () => Promise<any>}} given
 */
export function form({ name, fields, parts = [], button, wait = WAIT, danger, submit }) {
  const told = h("p.told bad", { role: "alert" })
  const kind = danger ? "button danger" : "button first"
  const sender = h("button", { type: "submit", class: kind }, button)
  const inside = [...fields.map(({ element }) => element), ...parts, told, sender]
  const element = h("form.form", { novalidate: true, name }, ...inside)
  let busy = false
  element.addEventListener("submit", async (/** @type {Event} */ event) => {
    event.preventDefault()
    if (busy) return
    busy = true
    const label = sender.textContent
    say(told, "")
    say(sender, wait)
    sender.setAttribute("aria-disabled", "true")
    for (const one of fields) one.tell("")
    try {
      await submit()
    } catch (error) {
      refuse(error)
    }
    busy = false
    if (sender.textContent === wait) say(sender, label)
    sender.removeAttribute("aria-disabled")
  })

  /** @param {any} error */
  function refuse(error) {
    const at = fields.find((one) => one.name === error?.field)
    if (!at) return say(told, words(error))
    at.tell(words(error))
    at.input.focus()
  }
  return { element, sender, clear: () => say(told, "") }
}

/**
 * A dialog on top of the page, gone when it is closed.
 * @param {string} title @param {(Node | string | null | undefined)[]} parts
 */
export function dialog(title, ...parts) {
  const id = `dialog-${++fields}`
  const close = iconButton("close", "Close", () => element.close())
  const heading = h("h2", { id, tabindex: "-1" }, title)
  const top = h("header.dialog-top", {}, heading, close)
  const body = h("div.dialog-body", {}, ...parts)
  const element = h("dialog.dialog", { "aria-labelledby": id }, top, body)
  element.addEventListener("close", () => element.remove())
  element.addEventListener("click", (/** @type {MouseEvent} */ event) => {
    if (event.target === element) element.close() // the backdrop
  })
  document.body.append(element)
  element.showModal()
  const target = element.querySelector("[autofocus]") ?? heading
  target.focus()
  return { element, body, heading, close: () => element.close() }
}

/**
 * Ask before what cannot be undone.
 * @param {{title: string, text: string, button: string, act: () => Promise<any>}} given
 */
export function confirm({ title, text, button, act }) {
  const cancel = h("button.button", { autofocus: true }, "Cancel")
  const submit = async () => {
    await act()
    box.close()
  }
  const asked = form({ fields: [], parts: [h("p", {}, text)], button, danger: true, submit })
  const box = dialog(title, asked.element)
  asked.sender.before(cancel)
  asked.sender.parentElement.classList.add("choice")
  cancel.addEventListener("click", () => box.close())
  cancel.focus()
}
