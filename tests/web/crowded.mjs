// Many tabs on one engine that come, go, follow from anywhere and turn back, while somebody writes and
// the socket breaks: each tab must get the entries behind its cursor, one after the other.
//
//   node crowded.mjs FOLDER URL SEED     FOLDER: of rtchat.js
//
// Says at the end {"faults":[…],"entries":N,"subs":N,"sockets":N} as JSON.
import { pathToFileURL } from "node:url"

const [folder, url, seed] = process.argv.slice(2)
const load = (file) => import(new URL(file, pathToFileURL(`${folder}/`)).href)
const { Rest, Session } = await load("rtchat.js")
const { Engine } = await load("client/engine.js")
const { hold, randomId, sleep } = await load("client/locks.js")

let state = Number(seed) >>> 0
const random = () => { // mulberry32: the same run for the same seed, as far as time allows
  state = (state + 0x6d2b79f5) >>> 0
  let t = Math.imul(state ^ (state >>> 15), 1 | state)
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
  return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
}
const below = (n) => Math.floor(random() * n)
const told = { faults: [], entries: 0, subs: 0, sockets: 0 }

let socket
class Breakable extends WebSocket {
  constructor(...how) {
    super(...how)
    told.sockets++
    socket = this
  }
}

const session = new Session(url)
const user = await session.register(`crowd-${randomId()}@example.org`, "correct horse", "Crowd")
const rest = new Rest(session)
const channels = []
for (const name of ["one", "two", "three"]) {
  channels.push((await rest.createChannel({ type: "private", name })).id)
}
const times = { backOffMs: 5, backOffMaxMs: 20 }
const engine = new Engine({ root: session.root.href, user: user.id, times, WebSocket: Breakable })

class Tab {
  places = new Map() // of channels
  asks = 0
  open = true

  async join() {
    this.lock = `tab ${randomId()}`
    this.release = await hold(this.lock)
    const { port1, port2 } = new MessageChannel()
    engine.connect(port2)
    this.port = port1
    port1.onmessage = ({ data }) => this.open && this[data.t]?.(data)
    port1.postMessage({ t: "join", lock: this.lock })
    return this
  }

  leave() {
    this.open = false
    this.port.postMessage({ t: "leave" })
    setTimeout(() => this.port.close(), 50)
    this.release()
  }

  follow(ch, cursor) {
    told.subs++
    const ask = ++this.asks
    this.places.set(ch, { cursor, ask, stands: false })
    this.port.postMessage({ t: "sub", places: [[ch, cursor, engine.follows.epoch, ask]] })
  }

  unfollow(ch) {
    this.places.delete(ch)
    this.port.postMessage({ t: "unsub", channels: [ch] })
  }

  async token({ id, not }) {
    this.port.postMessage({ t: "token", id, token: await session.token(not) })
  }

  standing({ ch, ask, cursor, error }) {
    const place = this.places.get(ch)
    if (place?.ask !== ask) return // an answer to what was asked for before
    if (error) told.faults.push(`${ch} ${error}`)
    if (place.cursor !== null && place.cursor !== cursor) told.faults.push(`${ch} stands elsewhere`)
    this.places.set(ch, { cursor, ask, stands: true })
  }

  entry({ entry: { ch, seq } }) {
    const place = this.places.get(ch)
    if (!place?.stands) return // told before it turned away, or back
    told.entries++
    if (seq !== place.cursor + 1) told.faults.push(`${ch}: ${seq} after ${place.cursor}`)
    place.cursor = seq
  }

  fault({ what, message }) {
    told.faults.push(`${what}: ${message}`)
  }

  reset({ ch }) {
    told.faults.push(`reset ${ch}`)
  }
}

const writer = await new Tab().join()
const tabs = [writer]
const heads = new Map(channels.map((ch) => [ch, 0]))
writer.ack = ({ ack }) => heads.set(ack.ch, Math.max(heads.get(ack.ch), ack.seq))
const write = (ch) => {
  const more = { owner: "", state: "waiting", tried: false, at: Date.now() }
  const write = { nonce: randomId(), kind: "send", ch, content: "word", ...more }
  writer.port.postMessage({ t: "write", write })
}

const STEPS = 400
const PATIENCE_MS = 12_000
const isPatient = () => performance.now() < PATIENCE_MS && !told.faults.length
for (let step = 0; step < STEPS && isPatient(); step++) {
  write(channels[below(3)])
  const tab = tabs[below(tabs.length)]
  const ch = channels[below(3)]
  const dice = random()
  if (dice < 0.45) tab.follow(ch, random() < 0.2 ? null : below(heads.get(ch) + 1))
  else if (dice < 0.55) tab.unfollow(ch)
  else if (dice < 0.65 && tabs.length < 6) tabs.push(await new Tab().join())
  else if (dice < 0.72 && tab !== writer) tabs.splice(tabs.indexOf(tab), 1)[0].leave()
  else if (dice < 0.74) socket?.close()
  if (random() < 0.5) await sleep(below(6))
}

const isDone = () =>
  !engine.outbox.writes.length &&
  tabs.every(({ places }) =>
    [...places].every(([ch, { cursor, stands }]) => stands && cursor === heads.get(ch)))
while (!isDone() && isPatient()) await sleep(20)
if (!isDone()) {
  const left = tabs.map(({ places }) => [...places])
  told.faults.push(`not all came: ${JSON.stringify([left, [...heads], engine.outbox.writes.length])}`)
}
console.log(JSON.stringify(told))
process.exit(0)
