// @ts-check
/**
 * The strip above each page that says who is signed in, and lets one sign in and out.
 *
 * Owns: the form, and what it tells of errors. Tokens are `session`'s.
 */

import { byId, el } from "./dom.js"
import { Refused, session } from "./session.js"

const strip = byId("account")
const told = el("p", { class: "told", role: "status" })
const body = el("div", { class: "account-body" })

/** Say how it went. @param {string} text @param {boolean} [bad] */
function tell(text, bad = false) {
  told.classList.toggle("bad", bad)
  told.textContent = text
}

/** @param {unknown} error */
function wordsOf(error) {
  return error instanceof Refused ? error.message : "The server is out of reach."
}

/**
 * @param {string} label
 * @param {Record<string, any>} attributes
 */
function field(label, attributes) {
  const input = el("input", { required: true, "aria-describedby": "account-told", ...attributes })
  return { input, label: el("label", {}, el("span", {}, label), input) }
}

function signedOut() {
  const email = field("E-mail", { type: "email", name: "email", autocomplete: "username" })
  const password = field("Password", {
    type: "password",
    name: "password",
    autocomplete: "current-password",
  })
  const buttons = [
    el("button", { class: "first" }, "Sign in"),
    el("button", { value: "new" }, "Make an account"),
  ]
  const form = el(
    "form",
    { class: "sign-in", method: "post", onsubmit: submit },
    el("p", { class: "who" }, "Try it signed in:"),
    email.label,
    password.label,
    ...buttons,
  )
  const inputs = /** @type {Record<string, HTMLInputElement>} */ ({
    email: email.input,
    password: password.input,
  })

  /** @param {SubmitEvent} event */
  async function submit(event) {
    event.preventDefault()
    const isNew = /** @type {HTMLButtonElement} */ (event.submitter)?.value === "new"
    const values = /** @type {const} */ ([email.input.value, password.input.value])
    for (const button of buttons) button.disabled = true
    for (const input of Object.values(inputs)) input.removeAttribute("aria-invalid")
    tell(isNew ? "Making the account …" : "Signing in …")
    try {
      await (isNew ? session.makeAccount(...values) : session.signIn(...values))
      byId("account-who").focus()
    } catch (error) {
      tell(wordsOf(error), true)
      const wrong = error instanceof Refused ? inputs[error.field] : undefined
      wrong?.setAttribute("aria-invalid", "true")
      wrong?.focus()
    } finally {
      for (const button of buttons) button.disabled = false
    }
  }
  return form
}

/** @param {import("./session.js").User} user */
function signedIn(user) {
  const who = el(
    "p",
    { id: "account-who", class: "who", tabindex: -1 },
    "Signed in as ",
    el("b", {}, user.name),
    el("span", { class: "quiet" }, ` ${user.email ?? ""} · user ${user.id}`),
  )
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(session.token)
      tell("The access token is copied. It is good for some minutes.")
    } catch {
      tell("The browser does not let this page copy.", true)
    }
  }
  const leave = () => session.signOut().catch((error) => tell(wordsOf(error), true))
  return el(
    "div",
    { class: "signed-in" },
    who,
    el("button", { type: "button", onclick: copy }, "Copy token"),
    el("button", { type: "button", onclick: leave }, "Sign out"),
  )
}

let shown = ""

/** Show the state, if it is another one: a renewal must not take the focus from anybody. */
function show() {
  const user = session.held?.user
  const next = user ? `${user.id} ${user.name}` : ""
  if (body.firstChild && next === shown) return
  const hadFocus = body.contains(document.activeElement)
  shown = next
  body.replaceChildren(user ? signedIn(user) : signedOut())
  tell(user ? "" : session.ended, Boolean(session.ended))
  if (hadFocus && !user) body.querySelector("input")?.focus()
}

/** Put the strip into the page. */
export function showAccount() {
  told.id = "account-told"
  strip.replaceChildren(body, told)
  session.addEventListener("change", show)
  show()
}
