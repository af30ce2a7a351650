// @ts-check
/** The page of the WebSocket: its frames to read, and the console to try them. */

import { showAccount } from "./account.js"
import { Console } from "./console.js"
import { closesOf, framesOf } from "./document.js"
import { byId } from "./dom.js"
import { showReference } from "./frames.js"
import { ask } from "./session.js"

showAccount()
try {
  const doc = await ask("GET", "asyncapi.json")
  const frames = framesOf(doc)
  const console_ = new Console(byId("console"), frames, closesOf(doc))
  showReference(byId("reference"), doc, frames, (frame) => console_.choose(frame))
} catch (error) {
  byId("loading").textContent = `asyncapi.json cannot be read. ${error}`
}
