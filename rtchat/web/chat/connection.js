// @ts-check
/** The state of the connection, in words; and what one can do about it. */

import { h, set } from "./dom.js"

/**
 * @param {HTMLElement} place
 * @param {import("../rtchat.js").Client} client
 * @param {import("../rtchat.js").Session} session
 */
export function connection(place, client, session) {
  const { state } = client
  const [kind, text, button] = told(state, session)
  set(place, "data-kind", kind)
  place.classList.toggle("unseen", kind === "good") // heard, all the same
  if (place.dataset.text === text) return
  place.dataset.text = text
  const act = () => (state.name === "ended" ? client.start() : client.retryNow())
  const parts = button ? [" ", h("button.link", { onclick: act }, button)] : []
  place.replaceChildren(text, ...parts)
}

/**
 * @param {import("../rtchat.js").State} state @param {import("../rtchat.js").Session} session
 * @returns {[string, string, string]} of which kind, what is told, what the button says
 */
function told(state, session) {
  switch (state.name) {
    case "online":
      return ["good", "Connected", ""]
    case "connecting":
      return ["wait", "Connecting …", ""]
    case "offline":
      return ["bad", "Offline: your messages wait here.", "Try now"]
    case "waiting": {
      const seconds = Math.ceil((state.retryAt - Date.now()) / 1000)
      const when = seconds > 0 ? `Reconnecting in ${seconds} s.` : "Reconnecting …"
      return ["bad", `${when} Your messages wait here.`, "Try now"]
    }
    case "ended": {
      const why = session.ended || state.why || "The server does not let this page come back."
      return ["bad", `Signed out: ${why}`, "Connect again"]
    }
    default:
      return ["wait", "Not connected.", ""]
  }
}
