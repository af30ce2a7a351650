// @ts-check
/** Where the page begins: who is signed in sees the chat, anybody else how to sign in. */

import { App } from "./app.js"
import { comeBack, signIn } from "./signin.js"
import { Session } from "../rtchat.js"

const session = new Session()
/** @type {App | null} */
let app = null
let shown = NaN // the user's id; 0: nobody

/** @param {string} [told] */
function show(told = session.ended) {
  const id = session.user?.id ?? 0
  if (id === shown) return
  shown = id
  app?.end()
  app = id ? new App(session) : null
  if (!id) signIn(session, told)
}

const told = await comeBack(session)
session.addEventListener("change", () => show())
show(told || undefined)
