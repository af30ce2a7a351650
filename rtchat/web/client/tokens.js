// @ts-check
/**
 * Tokens for the socket: asked of the tabs, which have them.
 *
 * Must never: keep one.
 */

const ANSWER_MS = 25_000 // for any tab; a renewal takes 15 at most
const NONE = { error: { code: "", message: "No tab answered.", retry: true, retryAfterMs: 0 } }

export class Tokens {
  #asks = 0
  /** @type {Map<number, {question: object, give: (answer: any) => void}>} */
  #open = new Map()

  /** @param {(question: object) => void} tell every tab */
  constructor(tell) {
    this.tell = tell
  }

  /** The first that any tab gives. @param {string} not one that was refused @returns {Promise<any>} */
  ask(not) {
    const id = ++this.#asks
    const question = { t: "token", id, not }
    return new Promise((resolve) => {
      const timer = setTimeout(() => give(NONE), ANSWER_MS)
      const give = (/** @type {any} */ answer) => {
        clearTimeout(timer)
        this.#open.delete(id)
        resolve(answer)
      }
      this.#open.set(id, { question, give })
      this.tell(question)
    })
  }

  /** What a tab that comes now can answer as well. */
  get questions() {
    return [...this.#open.values()].map(({ question }) => question)
  }

  /** @param {{id: number}} answer */
  answered(answer) {
    this.#open.get(answer.id)?.give(answer)
  }

  /** Nobody is left to answer. */
  giveUp() {
    for (const { give } of this.#open.values()) give(NONE)
  }
}
