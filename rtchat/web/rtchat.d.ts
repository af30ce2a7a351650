/**
 * The interface of `rtchat.js`, the client for browsers and Node; docs/javascript.md shows its use.
 *
 * For the policy (CSP) of a page that uses it: `script-src` and `connect-src` need the server, and
 * `worker-src 'self'` lets the tabs of one user share one socket. Where that is refused, or under
 * `require-trusted-types-for 'script'` without `trusted-types rtchat`, each tab has its own socket;
 * nothing else changes. Nothing is inline, and nothing is evaluated.
 */

export interface User {
  id: number
  name: string
  status: string
  lastActive: string
  email?: string
}
export type Role = "owner" | "admin" | "member"
export interface Channel {
  id: number
  name: string | null
  type: "public" | "private" | "dm"
  createdBy: number | null
  createdAt: string
  updatedAt: string
  role: Role | null
  lastSeq: number | null
  readSeq: number | null
  unread: number | null
}
export interface Member {
  user: User
  role: Role
  joinedAt: string
}
export interface Message {
  id: string
  channelId: number
  seq: number
  userId: number
  content: string
  timestamp: string
  nonce?: string
  editedAt?: string
  deletedAt?: string
  reactions?: { emoji: string; count: number; users: number[] }[]
}
export interface Page<Item> {
  items: Item[]
  next: number | null
}
export interface Provider {
  name: string
  /** Where the browser is sent to sign in. */
  url: string
}

/** What the server refused, over REST or for a write, in its own words. */
export class Refused extends Error {
  /** Of HTTP; 0 where the refusal came over the socket or from this client. */
  readonly status: number
  /** As docs/errors.md lists them. Of this client's own: `full` (the outbox), `unknown` (given up,
   *  stored or not), `discarded`, `signed_out`, `stopped`. */
  readonly code: string
  /** The field that is at fault; empty where none is. */
  readonly field: string
  /** When it may be tried again; 0 where nothing is said. */
  readonly retryAfterMs: number
  /** Whether the same may succeed later. */
  readonly retry: boolean
}

/** Text by key; `localStorage` is one. */
export interface TextStore {
  getItem(key: string): string | null
  setItem(key: string, text: string): void
  removeItem(key: string): void
}

/**
 * Who is signed in. The tokens are in `localStorage`, so that all tabs and the next visit are
 * signed in too; they are renewed when they are needed, by one tab at a time.
 *
 * Event `change`: somebody signed in or out, here or in another tab, or tokens were renewed.
 */
export class Session extends EventTarget {
  /** @param root where the server is; by default the folder that this module was loaded from */
  constructor(root?: string | URL, options?: { store?: TextStore })
  readonly root: URL
  /** Who is signed in. */
  readonly user: User | null
  /** Why nobody is any more, for people; empty where somebody wanted it so. */
  readonly ended: string
  signIn(email: string, password: string): Promise<User>
  register(email: string, password: string, name?: string): Promise<User>
  /** Take the code with which a provider's sign-in led back to the page. */
  exchange(code: string): Promise<User>
  /** Forget the tokens, then end the session on the server. */
  signOut(): Promise<void>
  /** The sign-ins that the operator has set up besides the password. */
  providers(): Promise<Provider[]>
  /** An access token that is good for a while. @param not one that was refused */
  token(not?: string): Promise<string>
  /** Trade the refresh token for new tokens now. */
  renew(): Promise<void>
  /**
   * Ask the server as this user, with one renewal at 401; gives the answer's JSON, null for 204.
   * Throws Refused; TypeError or a `TimeoutError` where there was no answer.
   * @param path below the root, without a slash
   */
  ask<Answer = any>(method: string, path: string, body?: object): Promise<Answer>
}

/** The calls over REST that a chat needs (docs/api.md). */
export class Rest {
  constructor(session: Session)
  me(): Promise<User>
  updateMe(changes: { name?: string; status?: string }): Promise<User>
  findUsers(query: string, limit?: number): Promise<User[]>
  /** Any number; asked for in as many calls as it takes. Who does not exist is left out. */
  users(ids: Iterable<number>): Promise<User[]>
  channels(scope: "mine" | "public", cursor?: number, limit?: number): Promise<Page<Channel>>
  /** All channels of this user. */
  myChannels(): Promise<Channel[]>
  channel(id: number): Promise<Channel>
  createChannel(made: {
    type: Channel["type"]
    name?: string
    members?: number[]
  }): Promise<Channel>
  renameChannel(id: number, name: string): Promise<Channel>
  deleteChannel(id: number): Promise<void>
  join(id: number): Promise<Channel>
  leave(id: number): Promise<void>
  members(id: number, cursor?: number, limit?: number): Promise<Page<Member>>
  addMember(id: number, userId: number, role?: Role): Promise<Member>
  setRole(id: number, userId: number, role: Role): Promise<Member>
  removeMember(id: number, userId: number): Promise<void>
  /** In seq order; the newest ones without `before` and `after`. */
  history(
    id: number,
    page?: { before?: number; after?: number; limit?: number },
  ): Promise<{ items: Message[]; hasMore: boolean }>
  message(id: number, seq: number): Promise<Message>
}

/** What everybody in a channel sees happen; each entry of its log, in order of `seq`. */
export type Entry = { ch: number; seq: number; ts: number } & (
  | { t: "msg"; user: number; content: string; deleted?: boolean }
  | { t: "edit"; user: number; of: number; content: string }
  | { t: "del"; user: number; of: number }
  | { t: "react"; user: number; of: number; emoji: string; on: boolean }
  | { t: "join"; user: number; by: number }
  | { t: "leave"; user: number; by: number }
  | { t: "chan"; user: number; name: string }
)

export interface Hello {
  session: string
  user: User
  exp: number
  epoch: string
  heartbeat: number
  limits: { frameBytes: number; contentChars: number; subs: number; sendsPerSecond: number }
}

export type State =
  | { name: "stopped" }
  | { name: "connecting" }
  | { name: "online" }
  /** Between two tries; `retryAt` is as `Date.now()`. `why` is for people. */
  | { name: "waiting"; retryAt: number; why: string }
  /** The same, while the browser says that there is no network. */
  | { name: "offline"; retryAt: number; why: string }
  /** Nothing more is tried until `start()`. Codes: `signed_out`, `another_user`, or a close's. */
  | { name: "ended"; code: string | number; why: string }

/** A write that has no ack yet, as `Client.outbox` shows it. */
export interface Write {
  readonly nonce: string
  readonly ch: number
  readonly kind: "send" | "edit" | "del" | "react"
  readonly content?: string
  readonly of?: number
  readonly emoji?: string
  readonly on?: boolean
  /** When it was made, as `Date.now()`; the outbox is in this order. */
  readonly at: number
  /** `waiting` for the socket or its turn; `sent`, and no answer yet; `failed` for good. */
  readonly state: "waiting" | "sent" | "failed"
  /** Whether it has been on its way, so that it may be stored: then it cannot be discarded. */
  readonly tried: boolean
  /** Of a failed one. */
  readonly error?: { code: string; message: string; field: string }
}
export interface Ack {
  nonce: string
  ch: number
  seq: number
  ts: number
  /** An earlier try had stored it. */
  dup: boolean
}
/** A write as its maker holds it. Whoever follows the outbox need not look at the promises. */
export interface Pending {
  readonly nonce: string
  /** Kept: from here on it survives a reload. */
  readonly stored: Promise<void>
  /** Rejected, with Refused, by a final error or discard() only. */
  readonly acked: Promise<Ack>
}

/** `error`: `forbidden`, `not_found`, `too_long` (more than `limits.subs`), or `reset`. */
export type Standing = { head: number; error?: undefined } | { head?: undefined; error: string }

/** Where writes are kept; for Node. Without one they are in memory there. */
export interface WriteStore {
  all(): Promise<object[]>
  /** Put it in the place of the one with the same `nonce`. */
  put(write: { nonce: string }): Promise<void>
  delete(nonce: string): Promise<void>
}

/** In milliseconds; for tests. docs/websocket.md explains each. */
export interface Times {
  heartbeatMs?: number
  probeMs?: number
  wokenMs?: number
  lateMs?: number
  tickMs?: number
  helloMs?: number
  answerMs?: number
  backOffMs?: number
  backOffMaxMs?: number
}

export interface ClientEvents {
  state: CustomEvent<State>
  hello: CustomEvent<Hello>
  /** Each entry of a followed channel exactly once, in order. */
  entry: CustomEvent<Entry>
  typing: CustomEvent<{ ch: number; user: number }>
  read: CustomEvent<{ ch: number; user: number; seq: number }>
  presence: CustomEvent<{ user: number; status: string }>
  added: CustomEvent<{ ch: number; channel: Channel }>
  /** It is not followed any more. `reason`: `left`, `removed`, `deleted`, `forbidden`, `not_found`. */
  removed: CustomEvent<{ ch: number; reason: string }>
  /** Its cursor means nothing any more, and it is not followed: forget its entries, read REST, and
   *  subscribe from that `lastSeq`. `head` where it is known. */
  reset: CustomEvent<{ ch: number; head: number | null }>
  /** The outbox has changed: these were put into it or changed, and these are gone from it. */
  outbox: CustomEvent<{ changed: Write[]; gone: string[] }>
  /** A write was acknowledged; comes before `outbox`, in every tab. */
  ack: CustomEvent<Ack>
  /** Something that should not happen, and was got over; for logs. */
  fault: CustomEvent<{ what: string; message: string }>
}

/** One tab's view of the live connection, which it shares with the user's other tabs if it can. */
export class Client extends EventTarget {
  constructor(options: {
    session: Session
    /** Share one socket with the user's other tabs, where the browser can. */
    share?: boolean
    times?: Times
    /** Not shared, with either of these. */
    WebSocket?: typeof WebSocket
    store?: WriteStore
  })
  readonly session: Session
  readonly state: State
  /** Whether the socket is in a worker that the user's tabs share; known once it has been joined. */
  readonly shared: boolean
  /** Of all cursors; null before the first `hello`. */
  readonly epoch: string | null
  /** The last one. */
  readonly hello: Hello | null
  /** Join the connection, or make it, and keep it. Somebody must be signed in. */
  start(): void
  /** Leave it. Cursors stay, so that `start()` goes on from there. */
  stop(): void
  /** Try now what is `waiting`. */
  retryNow(): void
  /**
   * Follow channels, each behind a cursor (the seq of the last entry that is held) or, at null, from
   * its head on. Waits for as long as it takes; rejected where the client is stopped or ends.
   * @param epoch of the cursors; by default the present one's
   */
  subscribe(
    cursors: { [channel: number]: number | null },
    epoch?: string | null,
  ): Promise<{ [channel: number]: Standing }>
  unsubscribe(channels: Iterable<number>): void
  /** Channel to the seq of the last entry that came, or was said to be held. */
  cursors(): { [channel: number]: number }
  /** Write. Each throws Refused at once where the outbox is full, or it can never be sent. */
  send(channel: number, content: string): Pending
  edit(channel: number, seq: number, content: string): Pending
  remove(channel: number, seq: number): Pending
  react(channel: number, seq: number, emoji: string, on?: boolean): Pending
  /** What has no ack yet, the oldest first: this user's, of all tabs, and of earlier visits. */
  readonly outbox: Write[]
  /** Write a failed one again, as a new write. */
  retry(nonce: string): Pending
  /** Forget a failed one, or one that was never sent. Throws where it is under way. */
  discard(nonce: string): void
  /** Say how far this user has read; kept while there is no connection. */
  read(channel: number, seq: number): void
  /** Say that this user is typing; told no more often than it is worth. */
  typing(channel: number): void
  addEventListener<Name extends keyof ClientEvents>(
    name: Name,
    listener: (event: ClientEvents[Name]) => void,
    options?: boolean | AddEventListenerOptions,
  ): void
  addEventListener(
    name: string,
    listener: EventListenerOrEventListenerObject | null,
    options?: boolean | AddEventListenerOptions,
  ): void
}
