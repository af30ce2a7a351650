// @ts-check
/**
 * The way from a tab to its engine: a worker that the user's tabs share, or the page itself.
 *
 * Must never: leave a tab without an engine. A worker that does not answer (the page's policy, a
 * browser without module workers) is given up, and the tab gets an engine of its own.
 */

import { Engine } from "./engine.js"
import { locks } from "./locks.js"

const ANSWER_MS = 5_000

/** @typedef {(message: any, port: MessagePort) => void} Take what comes, `welcome` first */

/** A page may allow scripts' addresses by policy only (Trusted Types): this makes ours, and no other. */
let address = () => {
  /** @type {any} */
  let url = new URL("./worker.js", import.meta.url).href
  const types = /** @type {any} */ (globalThis).trustedTypes
  if (types) {
    const own = url
    const policy = types.createPolicy("rtchat", { createScriptURL: () => own })
    url = policy.createScriptURL("")
  }
  address = () => url
  return url
}

/** @param {object} options of the engine; they are the worker's name, so others get another one */
function workerPort(options) {
  const name = JSON.stringify(options)
  return new SharedWorker(address(), { type: "module", name })
}

/**
 * Say `join`, and wait for the answer.
 * @param {MessagePort} port @param {object} join @param {Take} take
 * @param {(fail: () => void) => void} orFail
 * @returns {Promise<void>}
 */
function joined(port, join, take, orFail) {
  return new Promise((resolve, reject) => {
    port.onmessage = ({ data }) => {
      resolve()
      take(data, port)
    }
    orFail(() => reject(new Error("The worker does not answer.")))
    port.postMessage(join)
  })
}

/** @param {object} options @param {object} join @param {Take} take */
async function reachWorker(options, join, take) {
  const worker = workerPort(options)
  const { port } = worker
  try {
    await joined(port, join, take, (fail) => {
      worker.onerror = fail
      setTimeout(fail, ANSWER_MS)
    })
  } catch (error) {
    port.postMessage({ t: "leave" }) // should it come later
    port.close()
    throw error
  }
}

/**
 * Join the engine; gives whether it is shared.
 * @param {boolean} share
 * @param {{root: string, user: number, times?: object}} options
 * @param {{WebSocket?: typeof WebSocket, store?: import("../rtchat.js").WriteStore}} own
 * @param {object} join
 * @param {Take} take
 */
export async function reach(share, options, own, join, take) {
  // Without locks the worker could not know when a tab has ended.
  if (share && locks && globalThis.SharedWorker && !own.WebSocket && !own.store) {
    try {
      await reachWorker(options, join, take)
      return true
    } catch {
      // the page's own, then
    }
  }
  const { port1, port2 } = new MessageChannel()
  new Engine({ ...options, ...own }).connect(port2)
  await joined(port1, join, take, () => {})
  return false
}
