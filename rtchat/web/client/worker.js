// @ts-check
/** The engine in a worker that the tabs of one user share; its name says whose. */

import { Engine } from "./engine.js"

const scope = /** @type {any} */ (globalThis)
/** @type {Engine | undefined} */
let engine

scope.onconnect = (/** @type {MessageEvent} */ { ports: [port] }) => {
  engine ??= new Engine(JSON.parse(scope.name))
  engine.connect(port)
}
