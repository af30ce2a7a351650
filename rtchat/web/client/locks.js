// @ts-check
/**
 * Who of several tabs and workers lives, and who does something alone.
 *
 * Owns: the browser's locks, which end with whoever holds them: the only sign of a tab's end that
 * cannot be missed. Browsers have them on https and on this machine only; elsewhere every tab is on
 * its own, and a lease in the store keeps renewals apart.
 */

export const locks = globalThis.navigator?.locks

const SETTLED_MS = 100 // what another tab stored has come by then
const LEASE_MS = 20_000 // longer than a call over REST may take

/** @param {number} ms @returns {Promise<void>} */
export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms))

/** 128 random bits. (`randomUUID` is for https only.) */
export function randomId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16))
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("")
}

/**
 * Hold a lock from when this resolves until what it gives is called, or this tab or worker ends.
 * @param {string} name @returns {Promise<() => void>}
 */
export function hold(name) {
  return new Promise((resolve, reject) => {
    if (!locks) return resolve(() => {})
    const held = () => new Promise((release) => resolve(() => release(undefined)))
    locks.request(name, held).catch(reject)
  })
}

/** When nobody holds it any more. @param {string} name @param {AbortSignal} [signal] */
export async function ended(name, signal) {
  await locks.request(name, { signal }, () => {})
}

/** The names that are held now, by whomever. @returns {Promise<Set<string>>} */
export async function heldNames() {
  const { held } = (await locks?.query()) ?? {}
  return new Set((held ?? []).map(({ name }) => String(name)))
}

/**
 * Do it when no other tab does.
 * @param {string} name
 * @param {import("../rtchat.js").TextStore} store that the tabs share
 * @param {() => Promise<void>} work
 */
export async function alone(name, store, work) {
  if (locks) return locks.request(name, () => sleep(SETTLED_MS).then(work))
  const mine = randomId()
  while (!store.getItem(name)?.startsWith(mine)) {
    const until = Number(store.getItem(name)?.split(" ")[1] ?? 0)
    if (until < Date.now()) store.setItem(name, `${mine} ${Date.now() + LEASE_MS}`)
    await sleep(SETTLED_MS)
  }
  try {
    await work()
  } finally {
    store.removeItem(name)
  }
}
