// @ts-check
/**
 * Where writes are kept until they have their answer, so that they outlive a reload.
 *
 * Owns: the browser's database of one user on one server. Must never: fail a write because it could
 * not be kept (a private window, a full disk): it goes on in memory, and says so.
 */

const OPEN_MS = 5_000 // some browsers never answer
const TABLE = "writes"

/** @typedef {import("../rtchat.js").WriteStore} WriteStore */

/** In memory: in Node, and where the browser keeps nothing. @implements {WriteStore} */
export class MemoryStore {
  /** @type {Map<string, any>} */
  #writes = new Map()
  all = async () => [...this.#writes.values()]
  /** @param {{nonce: string}} write */
  put = async (write) => void this.#writes.set(write.nonce, write)
  /** @param {string} nonce */
  delete = async (nonce) => void this.#writes.delete(nonce)
}

/** @implements {WriteStore} */
class DatabaseStore {
  /** @type {Promise<IDBDatabase> | undefined} */
  #database

  /** @param {string} name */
  constructor(name) {
    this.name = name
  }

  all() {
    return this.#do("readonly", (writes) => writes.getAll())
  }

  /** @param {{nonce: string}} write */
  put(write) {
    return this.#do("readwrite", (writes) => writes.put(write))
  }

  /** @param {string} nonce */
  delete(nonce) {
    return this.#do("readwrite", (writes) => writes.delete(nonce))
  }

  /** @param {IDBTransactionMode} mode @param {(writes: IDBObjectStore) => IDBRequest} act
   * @returns {Promise<any>} */
  async #do(mode, act) {
    this.#database ??= this.#open()
    const transaction = (await this.#database).transaction(TABLE, mode)
    const asked = act(transaction.objectStore(TABLE))
    return new Promise((resolve, reject) => {
      transaction.oncomplete = () => resolve(asked.result)
      transaction.onabort = () => reject(transaction.error)
    })
  }

  /** @returns {Promise<IDBDatabase>} */
  #open() {
    const asked = indexedDB.open(this.name, 1)
    asked.onupgradeneeded = () => asked.result.createObjectStore(TABLE, { keyPath: "nonce" })
    return new Promise((resolve, reject) => {
      setTimeout(() => reject(new Error("The database does not open.")), OPEN_MS)
      asked.onerror = () => reject(asked.error)
      asked.onsuccess = () => {
        asked.result.onclose = () => (this.#database = undefined)
        resolve(asked.result)
      }
    })
  }
}

/** @param {string} name @returns {WriteStore} */
export function writeStore(name) {
  return globalThis.indexedDB ? new DatabaseStore(name) : new MemoryStore()
}
