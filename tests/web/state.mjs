// What the chat decides without a page: entries in, rows out. Run by test_state, in a copy of the
// modules; chance is seeded, so that a failure comes again.

import assert from "node:assert/strict"
import { test } from "node:test"

import { Channels } from "./chat/channels.js"
import { colour, COLOURS, day, initials, length, listed, pieces, typing } from "./chat/format.js"
import { Log, reacted, WINDOW_MAX } from "./chat/log.js"
import { People } from "./chat/people.js"
import { lastOwn, rows } from "./chat/rows.js"

const NOON = new Date(2026, 4, 14, 12).getTime()
const MINUTE = 60_000

/** @param {number} seed */
function chance(seed) {
  return (/** @type {number} */ below) => {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0
    return Math.floor((seed / 2 ** 32) * below)
  }
}

const msg = (seq, user = 1, content = `text ${seq}`, ts = NOON + seq) => ({
  t: "msg",
  ch: 17,
  seq,
  user,
  content,
  ts,
})

/** A message as REST has it. */
const stored = ({ seq, user, content, ts }, more = {}) => ({
  id: `17:${seq}`,
  channelId: 17,
  seq,
  userId: user,
  content,
  timestamp: new Date(ts).toISOString(),
  ...more,
})

/** A channel's log of this length, in which everything happens. */
function history(random, count) {
  const log = []
  const messages = []
  for (let seq = 1; seq <= count; seq++) {
    const of = messages[random(messages.length)]
    const kind = of ? random(5) : 0
    const user = 1 + random(4)
    const entry = { ch: 17, seq, of, user, ts: NOON + seq }
    if (kind < 2) (log.push(msg(seq, user)), messages.push(seq))
    else if (kind === 2) log.push({ ...entry, t: "edit", content: `edited ${seq}` })
    else if (kind === 3)
      log.push({ ...entry, t: "react", emoji: "+-"[random(2)], on: random(3) > 0 })
    else if (random(4) === 0) log.push({ ...entry, t: "del" })
    else log.push({ ch: 17, seq, t: "join", user, by: user, ts: NOON + seq })
  }
  return log
}

/** What the server would answer when its log is so long: every message as it is by then. */
function page(log, head) {
  const found = new Map()
  for (const { t, seq, of, user, content, emoji, on, ts } of log.slice(0, head)) {
    const at = found.get(of)
    if (t === "msg") found.set(seq, stored({ seq, user, content, ts }, { reactions: [] }))
    else if (!at || at.deletedAt) continue
    else if (t === "edit") Object.assign(at, { content, editedAt: new Date(ts).toISOString() })
    else if (t === "del") Object.assign(at, { content: "", deletedAt: "x", reactions: [] })
    else if (t === "react") {
      const one = at.reactions.find((reaction) => reaction.emoji === emoji)
      const users = (one?.users ?? []).filter((other) => other !== user).concat(on ? [user] : [])
      if (one) Object.assign(one, { users, count: users.length })
      else if (on) at.reactions.push({ emoji, users, count: 1 })
      at.reactions = at.reactions.filter(({ count }) => count)
    }
  }
  return [...found.values()]
}

/** What is seen, in an order that does not depend on the way. */
const seen = (log) =>
  log.items
    .filter(({ kind }) => kind === "msg")
    .map((item) => [
      item.seq,
      item.content,
      item.deleted,
      Boolean(item.edited),
      item.reactions.map(({ emoji, count, users }) => [emoji, count, [...users].sort()]).sort(),
    ])

const loaded = (items, ends = { hasOlder: false, atHead: true }) => {
  const log = new Log()
  log.begin()
  log.replace(items, ends)
  return log
}

test("a page of history and entries that overlap it come to what the log says", () => {
  for (let seed = 1; seed <= 300; seed++) {
    const random = chance(seed)
    const all = history(random, 40)
    const head = random(41)
    const cursor = random(head + 1)
    const log = new Log()
    log.begin()
    const late = cursor + random(41 - cursor)
    for (const entry of all.slice(cursor, late)) log.apply(entry) // while the page is on its way
    log.replace(page(all, Math.max(head, cursor)), { hasOlder: false, atHead: true })
    for (const entry of all.slice(late)) log.apply(entry)
    for (const entry of all.slice(random(41))) log.apply(entry) // told twice
    assert.deepEqual(seen(log), seen(loaded(page(all, 40))), `seed ${seed}`)
  }
})

test("an item that is shown otherwise is another object, and the same one else", () => {
  const log = loaded([stored(msg(1)), stored(msg(2))])
  const [first, second] = log.items
  assert.equal(log.apply(msg(1)), false)
  assert.equal(
    log.apply({ t: "edit", ch: 17, seq: 3, of: 2, user: 1, content: "b", ts: NOON }),
    true,
  )
  assert.equal(log.items[0], first)
  assert.notEqual(log.items[1], second)
  assert.equal(second.content, "text 2")
})

test("the window is bounded, and goes on at its other end", () => {
  const log = loaded([])
  for (let seq = 1; seq <= 3000; seq++) {
    log.apply(msg(seq))
    assert.ok(log.items.length <= WINDOW_MAX)
  }
  assert.equal(log.last, 3000)
  assert.equal(log.hasOlder, true)
  for (let first = log.first; first > 2000; first = log.first) {
    log.begin()
    log.prepend(
      Array.from({ length: 80 }, (_, n) => stored(msg(first - 80 + n))),
      true,
    )
    assert.ok(log.items.length <= WINDOW_MAX)
    assert.equal(log.first, first - 80)
  }
  assert.equal(log.atHead, false)
  log.apply(msg(3001))
  assert.ok(log.last < 3000, "what is behind the window is not put into it")
  while (!log.atHead) {
    const { last } = log
    const more = Array.from({ length: Math.min(80, 3001 - last) }, (_, n) =>
      stored(msg(last + 1 + n)),
    )
    log.begin()
    log.append(more, last + 80 < 3001)
  }
  assert.equal(log.last, 3001)
  const seqs = log.items.map(({ seq }) => seq)
  assert.deepEqual(
    seqs,
    seqs.map((_, n) => seqs[0] + n),
  )
})

test("what one reads stays, whatever comes meanwhile", () => {
  const log = loaded([])
  for (let seq = 1; seq <= WINDOW_MAX; seq++) log.apply(msg(seq))
  const { first } = log
  log.following = false
  for (let seq = WINDOW_MAX + 1; seq <= 999; seq++) log.apply(msg(seq))
  assert.equal(log.first, first)
  assert.equal(log.atHead, false)
})

test("an older page that comes late leaves no hole", () => {
  const log = loaded([stored(msg(50))], { hasOlder: true, atHead: true })
  log.begin()
  log.begin()
  log.apply(msg(51))
  log.replace([stored(msg(50))], { hasOlder: true, atHead: true })
  log.fail()
  assert.equal(log.last, 51)
})

test("who has reacted is told once", () => {
  const one = [{ emoji: "+", count: 1, users: [1] }]
  assert.equal(reacted(one, { emoji: "+", user: 1, on: true }), one)
  assert.deepEqual(reacted(one, { emoji: "+", user: 1, on: false }), [])
  assert.equal(reacted(one, { emoji: "+", user: 2, on: false }), one)
  const many = reacted([{ emoji: "+", count: 250, users: [1] }], { emoji: "+", user: 7, on: true })
  assert.equal(many[0].count, 251)
  assert.equal(reacted(many, { emoji: "+", user: 7, on: true }), many)
})

const view = { me: 1, newAfter: null, now: NOON, start: "" }
const keys = (items, writes = [], more = {}) =>
  rows(items, writes, { ...view, ...more }).map(({ key }) => key)

test("messages of one author stand together, for five minutes and within a day", () => {
  const at = (seq, user, minutes) => msg(seq, user, "x", NOON + minutes * MINUTE)
  const entries = [
    at(1, 1, 0),
    at(2, 1, 4),
    at(3, 2, 5),
    at(4, 2, 11),
    at(5, 2, 15),
    at(6, 2, 13 * 60),
  ]
  const log = loaded(entries.map((entry) => stored(entry)))
  const made = rows(log.items, [], { ...view, now: NOON + 24 * 60 * MINUTE })
  const heads = made.filter(({ type }) => type === "msg").map(({ head }) => head)
  assert.deepEqual(heads, [true, false, true, true, false, true])
  assert.deepEqual(
    made.filter(({ type }) => type === "day").map(({ text }) => text),
    ["Yesterday", "Today"],
  )
})

test("the line of what is new stands once, before the first message of others", () => {
  const log = loaded([1, 2, 1, 2, 2].map((user, n) => stored(msg(n + 1, user))))
  const of = (newAfter) => keys(log.items, [], { newAfter }).slice(1)
  assert.deepEqual(of(2), ["m1", "m2", "m3", "new", "m4", "m5"])
  assert.deepEqual(of(5), ["m1", "m2", "m3", "m4", "m5"])
  assert.deepEqual(of(null), ["m1", "m2", "m3", "m4", "m5"])
})

test("of many who react not all are named, and whoever takes it back is counted out", () => {
  const crowd = { emoji: "+", count: 150, users: [2, 3] }
  const entry = { emoji: "+", user: 99, on: false }
  assert.deepEqual(reacted([crowd], entry), [{ ...crowd, count: 149 }])
  assert.deepEqual(reacted([crowd], { ...entry, user: 2 }), [{ ...crowd, count: 149, users: [3] }])
  const more = { ...crowd, count: 151, users: [2, 3, 99] }
  assert.deepEqual(reacted([crowd], { ...entry, on: true }), [more])
  assert.deepEqual(reacted([more], { ...entry, on: true }), [more])
  const all = { ...crowd, count: 2 }
  assert.deepEqual(reacted([all], entry), [all])
})

test("what is on its way stands at the end, and changes where they will be", () => {
  const log = loaded([stored(msg(1)), stored(msg(2, 2))])
  const write = { ch: 17, state: "sent", at: NOON, nonce: "n" }
  const send = { ...write, kind: "send", content: "c" }
  assert.deepEqual(keys(log.items, [send]).slice(1), ["m1", "m2", "pn"])
  const edit = { ...write, kind: "edit", of: 1, content: "edited" }
  const react = { ...write, kind: "react", of: 2, emoji: "+", on: true }
  const [, first, second] = rows(log.items, [edit, react], view)
  assert.equal(first.item.content, "edited")
  assert.deepEqual(second.item.reactions, [{ emoji: "+", count: 1, users: [1] }])
  const failed = rows(log.items, [{ ...edit, state: "failed" }], view)[1]
  assert.equal(failed.item.content, "text 1")
  assert.equal(failed.write.state, "failed")
  assert.equal(rows(log.items, [send], view)[3].item, rows(log.items, [send], view)[3].item)
})

test("the last message of one's own that stands may be edited", () => {
  const log = loaded([stored(msg(1)), stored(msg(2)), stored(msg(3, 2))])
  assert.equal(lastOwn(log.items, 1).seq, 2)
  log.apply({ t: "del", ch: 17, seq: 4, of: 2, user: 1, ts: NOON })
  assert.equal(lastOwn(log.items, 1).seq, 1)
  assert.equal(lastOwn(log.items, 9), undefined)
})

const channel = (id, more = {}) => ({
  id,
  name: `c${id}`,
  type: "public",
  createdBy: 1,
  createdAt: "",
  role: "member",
  lastSeq: 0,
  readSeq: 0,
  unread: 0,
  ...more,
})

test("unread messages are counted once, and not one's own", () => {
  const channels = new Channels()
  channels.me = 1
  channels.replace([channel(17, { lastSeq: 5, readSeq: 3, unread: 2 }), channel(18)])
  channels.apply(msg(5, 2), false)
  channels.apply(msg(6, 2), false)
  channels.apply(msg(6, 2), false)
  channels.apply(msg(7, 1), false)
  channels.apply(msg(8, 2), true)
  assert.equal(channels.unread, 3)
  channels.replace([channel(17, { lastSeq: 5, unread: 2 })]) // a list that was on its way
  assert.equal(channels.all.get(17).unread, 3)
  const { version } = channels
  channels.read(17, 6)
  assert.equal(channels.version, version, "some are unread still")
  channels.read(17, 8)
  assert.equal(channels.unread, 0)
})

test("channels stand by name, conversations by what is unread", () => {
  const channels = new Channels()
  const dm = { type: "dm", name: null }
  channels.replace([
    channel(1, { name: "b" }),
    channel(2, { name: "A" }),
    channel(3, { name: "a10" }),
    channel(4, { name: "a2" }),
    channel(5, dm),
    channel(6, dm),
    channel(7, { ...dm, unread: 1 }),
  ])
  assert.deepEqual(
    channels.rooms.map(({ id }) => id),
    [2, 4, 3, 1],
  )
  assert.deepEqual(
    channels.dms.map(({ id }) => id),
    [7, 6, 5],
  )
  assert.equal(channels.beside(1, 1), 7)
  assert.equal(channels.beside(2, -1), 5)
  assert.equal(channels.beside(99, 1), 2)
})

test("names are looked up together, and typing is over by itself", async () => {
  const asked = []
  const changed = new Promise((resolve) => {
    const people = new People(
      async (ids) => {
        asked.push(ids)
        return ids.filter((id) => id < 3).map((id) => ({ id, name: `n${id}` }))
      },
      () => resolve(people),
    )
    for (const id of [1, 2, 3, 2]) assert.equal(people.name(id), "…")
  })
  const people = await changed
  assert.deepEqual(asked, [[1, 2, 3]])
  assert.deepEqual(
    [1, 2, 3].map((id) => people.name(id)),
    ["n1", "n2", "Somebody who left"],
  )
  people.types(17, 1, NOON)
  people.types(17, 2, NOON + 4000)
  assert.deepEqual(people.typing(17, NOON + 4000), [1, 2])
  assert.deepEqual(people.typing(17, NOON + 6000), [2])
  people.typed(17, 2, NOON + 6000)
  assert.deepEqual(people.typing(17, NOON + 6000), [])
})

test("word of typing that comes after what was typed is late", () => {
  const people = new People(
    async () => [],
    () => {},
  )
  people.typed(17, 1, NOON)
  people.types(17, 1, NOON + 1000)
  people.types(17, 2, NOON + 1000)
  assert.deepEqual(people.typing(17, NOON + 1000), [2])
  people.types(17, 1, NOON + 2000)
  assert.deepEqual(people.typing(17, NOON + 2000), [2, 1])
})

test("only addresses of the web are links, and no part of a text is lost", () => {
  const linked = (text) =>
    pieces(text)
      .filter(({ url }) => url)
      .map(({ url }) => url)
  for (const [text, ...urls] of [
    ["see https://a.example/x, and http://b.example.", "https://a.example/x", "http://b.example/"],
    ["(https://a.example/a_(b)) ok", "https://a.example/a_(b)"],
    ["javascript:alert(1) data:text/html,x ftp://a.example"],
    ["https://user:password@a.example/"],
    ["xhttps://a.example https://"],
    ['<a href="https://a.example/?q=1&r=2">', "https://a.example/?q=1&r=2"],
  ]) {
    assert.deepEqual(linked(text), urls, text)
    assert.equal(
      pieces(text)
        .map((piece) => piece.text)
        .join(""),
      text,
    )
  }
})

test("times, names and counts in words", () => {
  assert.deepEqual(
    ["Ann Reyes", "bob", "<b>Eve</b>", "", "a\u0300\u0301x", "\u{1F600}"].map(initials),
    ["AR", "B", "BB", "?", "A", "\u{1F600}"],
  )
  assert.equal(day(NOON, NOON + 24 * 60 * MINUTE), "Yesterday")
  assert.equal(listed(["Ann", "Bob", "Cy"]), "Ann, Bob and Cy")
  assert.equal(listed(["Ann", "Bob", "Cy", "Di", "Ed"]), "Ann, Bob and 3 others")
  assert.equal(typing(["Ann", "Bob"]), "Ann and Bob are typing …")
  assert.equal(typing(["a", "b", "c", "d"]), "Several people are typing …")
  assert.equal(length("a\u{1F600}"), 2)
  for (let id = 1; id < 500; id++) assert.ok(colour(id) >= 0 && colour(id) < COLOURS)
})
