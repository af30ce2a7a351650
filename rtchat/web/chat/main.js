// @ts-check
/** Where the page begins: who is signed in sees the chat, anybody else how to sign in. */

import { Session } from "../rtchat.js"

const session = new Session()
/** @type {import("./app.js").App | null} */
let app = null
let shown = NaN // the user's id; 0: nobody

/** @param {string} [told] */
async function show(told = session.ended) {
  const id = session.user?.id ?? 0
  if (id === shown) return
  shown = id
  app?.end()
  app = null
  if (!id) (await import("./signin.js")).signIn(session, told)
  else {
    const { App } = await import("./app.js")
    if (id === shown) app = new App(session)
  }
}

/** What a provider's sign-in left in the address. */
async function comeBack() {
  const isBack = /[?&](code|error)=/.test(location.search)
  return isBack ? (await import("./signin.js")).comeBack(session) : ""
}

const told = await comeBack()
session.addEventListener("change", () => show())
show(told || undefined)
