// @ts-check
/**
 * The JavaScript client of rtchat, for browsers and Node: an ES module without a build step.
 *
 * What it exports is declared in rtchat.d.ts; docs/javascript.md shows its use.
 */

export { Client } from "./client/client.js"
export { Refused } from "./client/refused.js"
export { Rest } from "./client/rest.js"
export { Session } from "./client/session.js"
