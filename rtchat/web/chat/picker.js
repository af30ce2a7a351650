// @ts-check
/**
 * Finding people by their name, and choosing from what was found.
 *
 * Owns: the question on its way; an answer to an older one is not shown.
 */

import { avatar } from "./sidebar.js"
import { h, say } from "./dom.js"
import { words } from "./chat.js"

const WAIT_MS = 200 // after the last key
const FOUND_MAX = 12

/**
 * @param {import("./chat.js").Chat} chat
 * @param {{label: string, verb: string, without: () => Set<number>,
 *   choose: (user: any) => Promise<any> | void}} given `verb` is on the button beside each
 */
export function picker(chat, { label, verb, without, choose }) {
  const input = h("input", {
    type: "search",
    id: "people-search",
    autocomplete: "off",
    spellcheck: "false",
    autocapitalize: "none",
    placeholder: "The beginning of a name",
  })
  const told = h("p.told", { role: "status" })
  const list = h("ul.people")
  const element = h("div.field", {}, h("label", { for: "people-search" }, label), input, told, list)
  let asked = 0
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer

  input.addEventListener("input", () => {
    clearTimeout(timer)
    timer = setTimeout(find, WAIT_MS)
  })
  input.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
    if (event.key !== "Enter" || !input.value) return // with none it is for the form
    event.preventDefault() // the first one, as the eye expects
    list.querySelector("button")?.click()
  })

  async function find() {
    const query = input.value.trim()
    const number = ++asked
    if (!query) return show([], "")
    try {
      const found = await chat.rest.findUsers(query, FOUND_MAX)
      if (number !== asked) return
      chat.people.put(found)
      const left = found.filter(({ id }) => !without().has(id))
      const none = found.length ? "All of those are here already." : "Nobody by that name."
      show(left, left.length ? "" : none)
    } catch (error) {
      if (number === asked) show([], words(error))
    }
  }

  /** @param {any[]} users @param {string} text */
  function show(users, text) {
    say(told, text)
    list.replaceChildren(
      ...users.map((user) => {
        const onclick = async () => {
          button.disabled = true
          try {
            await choose(user)
            input.value = ""
            show([], "")
            input.focus()
          } catch (error) {
            button.disabled = false
            say(told, words(error))
          }
        }
        const name = h("bdi.name", {}, user.name)
        const button = h("button.button", { onclick, "aria-label": `${verb} ${user.name}` }, verb)
        return h("li", {}, avatar(user.id, user.name), name, button)
      }),
    )
  }
  return { element, input }
}
