/**
 * The values and frames of `palaver.v1` and of the REST door, as docs/protocol.md gives them.
 *
 * Written by scripts/page_types.py from the server's own shapes; a test compares the two. Frames from the server
 * are checked for their `t` where they arrive (connection.ts); unknown fields and kinds are ignored.
 */

/** The reply to `send`; or a push, with `room`, about a message that was accepted earlier. */
export interface Ack {
  t: 'ack'
  cid: string
  state: 'stored' | 'accepted' | 'rejected'
  msg: string
  seq: number | null
  dup?: boolean
  room?: string
  code?: string
  detail?: string | null
}

/** Who can speak. */
export type ActorKind = 'person' | 'agent' | 'system'

/** The server closes the connection soon. */
export interface Bye {
  t: 'bye'
  retry_ms: number
}

/** The program that a room's messages came from, as far as it told. */
export interface Client {
  program?: string
  /** Where it works. */
  folder?: string
  /** It asked with `store: false`, and is kept because its key says so. */
  kept_despite?: boolean
}

/** The database went away or came back. */
export interface DatabaseState {
  t: 'db'
  state: 'up' | 'down'
}

/** A device with a session of one's own. */
export interface Device {
  id: string
  /** None: where this identity began. */
  name: string | null
  created_at: string
  current: boolean
}

/** One's own devices, and the link that is still good. */
export interface Devices {
  devices: Device[]
  link: Link | null
}

/** A message that the server keeps while its database is away. */
export interface Draft {
  msg: string
  by: string
  name: string
  text: string
  cid: string
  at: string
}

/** A message was accepted. */
export interface Drafted {
  msg: string
  by: string
  name: string
  text: string
  cid: string
  at: string
  t: 'draft'
  room: string
}

/** Who one is from now on, and the session's token for a program. */
export interface Entered {
  me: Me
  token: string | null
}

/** Why a frame was not carried out. */
export interface ErrorFrame {
  t: 'err'
  code: string
  detail: string
  temporary: boolean
  retry_ms?: number
  room?: string
}

/** What happened after a seq. */
export interface Events {
  events: RoomEvent[]
  seq: number
  epoch: string
}

/** A request through an API below `/v1` and its answer, as its client sent and got them. */
export interface Exchange {
  id: string
  /** The id that its client knows. */
  name: string | null
  kind: ExchangeKind
  state: ExchangeState
  model: string
  created_at: string
  ended_at: string | null
  request: Record<string, unknown>
  /** None while it is running. */
  response: Record<string, unknown> | null
  usage: Record<string, unknown> | null
  ms: number | null
  finish: string | null
}

/** What a client of the API asked for. */
export type ExchangeKind = 'chat' | 'response' | 'messages'

/** How far an exchange is. */
export type ExchangeState = 'running' | 'completed' | 'incomplete' | 'failed' | 'cancelled'

/** Why an answer failed. */
export interface Failure {
  code: string
  detail?: string
  temporary?: boolean
}

/** A new identity and its token. */
export interface Guest {
  token: string
  me: Me
}

/** Something happened in a room that the client follows. */
export interface Happened {
  room: string
  seq: number
  k: string
  at: string
  by: string | null
  d: Record<string, unknown>
  t: 'ev'
}

/** A link that lets somebody in, without its token. */
export interface Invitation {
  id: string
  role: MemberRole
  /** None: any number. */
  uses_left: number | null
  created_at: string
  expires_at: string
  by: Person
}

/** The open invitations of a room. */
export interface Invitations {
  invitations: Invitation[]
}

/** What an invitation is for, and who this browser is. */
export interface Invited {
  room: InvitingRoom
  by: Person
  role: MemberRole
  me: Person | null
  /** Whether one is a member already. */
  member: boolean
}

/** A room, as an invitation tells of it. */
export interface InvitingRoom {
  id: string
  title: string
  /** How many people, at most 1000. */
  members: number
}

/** The room that one came into, and who one is. */
export interface Joined {
  room: Room
  me: Me
}

/** An API key, without its token. */
export interface Key {
  id: string
  name: string
  actor: Person
  scopes: string[]
  created_at: string
  last_used_at: string | null
  revoked_at: string | null
}

/** One's own API keys. */
export interface Keys {
  keys: Key[]
}

/** The bounds of a connection. */
export interface Limits {
  frame: number
  text: number
  inflight: number
  rooms: number
}

/** A link that adds a device, once. */
export interface Link {
  id: string
  created_at: string
  expires_at: string
}

/** Whose link it is, and who this browser is. */
export interface LinkOwner {
  by: Person
  me: Person | null
}

/** A new invitation. `url` has its token, which is shown this once. */
export interface MadeInvitation {
  url: string
  invitation: Invitation
}

/** A new API key, and its token, which is shown this once. */
export interface MadeKey {
  token: string
  key: Key
}

/** A new link. `url` has its token, which is shown this once. */
export interface MadeLink {
  url: string
  link: Link
}

/** Who is asking. */
export interface Me {
  id: string
  name: string
  kind: ActorKind
  guest: boolean
  /** Of who has an account. */
  handle: string | null
}

/** Somebody in a room. */
export interface Member {
  id: string
  name: string
  kind: ActorKind
  guest: boolean
  handle: string | null
  role: MemberRole
  joined_at: string
  auto_respond: boolean
}

/** A page of members. */
export interface MemberList {
  members: Member[]
  next: string | null
}

/** What a member may do, the most first; `policy` says what that is. */
export type MemberRole = 'owner' | 'moderator' | 'member' | 'reader'

/** What somebody said, as it is now. */
export interface Message {
  id: string
  room: string
  seq: number
  by: string
  name: string
  role: Role
  /** `text`, `tool_call`, `tool_result`, `reasoning` or `item`; more may come. */
  kind: string
  status: Status
  text: string
  cid: string | null
  reply_to: string | null
  branch: number
  at: string
  edited_at: string | null
  deleted_at: string | null
  meta: Meta
}

/** What else is known of a message; more may come. */
export interface Meta {
  turn?: string
  model?: string
  provider?: string
  finish?: string
  usage?: Usage
  ms?: Timing
  reasoning?: string
  error?: Failure
  /** The API request and its answer, to be fetched from `/api/exchanges`. */
  exchange?: string
  /** Which of several answers to one question, from 0. */
  choice?: number
  /** The speaker in the API client's words. */
  name?: string
  /** The content as the API has it, where it is more than one text. */
  parts?: unknown[]
  refusal?: string
  call_id?: string
  tool?: string
  /** Whether a program says so in its person's name, or answers that in the agent's. */
  context?: boolean
  /** What only the API's client understands. */
  item?: unknown
}

/** A model that can answer. */
export interface Model {
  id: string
  provider: string
  default: boolean
}

/** Who can answer here. */
export interface Models {
  models: Model[]
  provider: string
  hint: string | null
}

/** The reply to what has no other. `turn`: of `retry`. */
export interface Ok {
  t: 'ok'
  turn?: string
}

/** A page of messages, oldest first. */
export interface Page {
  messages: Message[]
  before: number | null
  after: number | null
}

/** An actor, in short. */
export interface Person {
  id: string
  name: string
}

/** A sign of life is asked for. */
export interface Ping {
  t: 'ping'
}

/** A sign of life. */
export interface Pong {
  t: 'pong'
}

/** A version of a stored prompt. */
export interface Prompt {
  id: string
  version: string
  name: string
  text: string
  variables: string[]
  created_at: string
}

/** One's own prompts, each in its newest version. */
export interface Prompts {
  prompts: Prompt[]
}

/** The same person has read so far, on another connection. */
export interface ReadMark {
  t: 'read'
  room: string
  seq: number
}

/** What a message is to a model. */
export type Role = 'user' | 'assistant' | 'system' | 'developer' | 'tool'

/** A room, as its reader sees it. */
export interface Room {
  id: string
  title: string
  visibility: Visibility
  role: MemberRole
  seq: number
  created_at: string
  active_at: string
  deleted_at: string | null
  /** Since when nothing more is said in it. */
  archived_at: string | null
  muted: boolean
  /** Whether it is left out of one's list, until something is said. */
  hidden: boolean
  read_seq: number
  /** Messages of others after `read_seq`, at most 100. */
  unread: number
  agents: Person[]
  /** Through which other door its messages came: `openai`. */
  door: string | null
  /** The room out of which it came. */
  parent: string | null
  client: Client | null
}

/** What happened in a room, at a seq. The shape of `d` depends on `k`. */
export interface RoomEvent {
  room: string
  seq: number
  k: string
  at: string
  by: string | null
  d: Record<string, unknown>
}

/** A page of rooms. */
export interface RoomList {
  rooms: Room[]
  next: string | null
}

/** Something changed in one of a person's rooms: `new` messages of others, and kinds of events. */
export interface RoomNotice {
  t: 'room'
  room: string
  seq: number
  at: string
  new: number
  k: string[]
}

/** What became of a message. */
export interface Sent {
  /** `accepted`: kept by this server until the database is back. */
  state: 'stored' | 'accepted'
  msg: string
  seq: number | null
  dup: boolean
  turns: string[]
}

/** A session of one's own, by the id of its device. */
export interface Session {
  id: string
  /** As in Device. */
  name: string | null
  /** The program that used it last, such as "Firefox on Linux". */
  agent: string | null
  /** The address from which it was used last. */
  address: string | null
  created_at: string
  /** About a minute behind. */
  used_at: string
  /** When it ends, unless it is used. */
  expires_at: string
  current: boolean
}

/** One's own sessions. */
export interface Sessions {
  sessions: Session[]
}

/** How a message ended. All but `DONE` belong to answers. */
export type Status = 'done' | 'stopped' | 'interrupted' | 'failed'

/** More of an answer: `x` is text, `r` reasoning. */
export interface StreamDelta {
  t: 's.d'
  room: string
  msg: string
  n: number
  x?: string
  r?: string
}

/** An answer ended without a message. */
export interface StreamEnded {
  t: 's.end'
  room: string
  msg: string
}

/** An answer begins. */
export interface StreamOpened {
  t: 's.open'
  room: string
  msg: string
  turn: string
  by: string
  name: string
  after: number
}

/** An answer that is being written, with all of it so far. */
export interface StreamState {
  msg: string
  turn: string
  by: string
  name: string
  after: number
  n: number
  text: string
  reasoning: string
}

/** The reply to `sub`: the newest messages, in the place of what the client had. */
export interface SubReset {
  t: 'sub'
  room: string
  mode: 'reset'
  reason: 'new' | 'gap' | 'epoch'
  seq: number
  messages: Message[]
  before: number | null
  streams: StreamState[]
}

/** The reply to `sub`: what was missed. */
export interface SubResume {
  t: 'sub'
  room: string
  mode: 'resume'
  seq: number
  events: RoomEvent[]
  streams: StreamState[]
}

/** Milliseconds of an answer: until its first word, and in all. */
export interface Timing {
  first?: number
  total?: number
}

/** An answer that is being made. */
export interface Turn {
  turn: string
}

/** Somebody is typing. */
export interface Typing {
  t: 'typing'
  room: string
  by: string
  name: string
}

/** The server ends a subscription. */
export interface Unsubscribed {
  t: 'unsub'
  room: string
  code: string
  detail: string
}

/** Tokens of an answer. */
export interface Usage {
  input?: number
  output?: number
}

/** Who finds a room: `OPEN` is everyone on this server (the Lobby). */
export type Visibility = 'private' | 'open'

/** The reply to `hello`. */
export interface Welcome {
  t: 'welcome'
  v: number
  epoch: string
  me: Me
  ping: number
  limits: Limits
  db: 'up' | 'down'
}

export type SubReply =
  | SubResume
  | SubReset

export type Reply =
  | SubResume
  | SubReset
  | Ack
  | Welcome
  | Ok

export type Push =
  | Happened
  | SubResume
  | SubReset
  | StreamOpened
  | StreamDelta
  | StreamEnded
  | Drafted
  | Typing
  | ReadMark
  | Unsubscribed
  | DatabaseState
  | Bye
  | Pong
  | Ping
  | Ack
  | RoomNotice
  | ErrorFrame

/** A request without its `id`, which the connection adds. */
export type Request =
  | { t: 'ping' }
  | { t: 'pong' }
  | { t: 'sub'; room: string; since?: number | null }
  | { t: 'unsub'; room: string }
  | { t: 'send'; room: string; cid: string; text: string; reply_to?: string | null }
  | { t: 'stop'; turn: string }
  | { t: 'retry'; msg: string; mode?: string | null }
  | { t: 'typing'; room: string }
  | { t: 'read'; room: string; seq: number }
  | { t: 'watch' }
