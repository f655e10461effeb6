/**
 * The values and frames of `palaver.v1` and of the REST door, as docs/protocol.md gives them.
 *
 * Types only. Frames from the server are checked for their `t` where they arrive (connection.ts);
 * unknown fields and kinds are ignored, as the protocol asks.
 */

export interface Me {
  id: string
  name: string
  kind: string
  guest: boolean
}

export interface Agent {
  id: string
  name: string
}

export interface Room {
  id: string
  title: string
  visibility: 'private' | 'open'
  role: 'owner' | 'member' | 'reader'
  seq: number
  created_at: string
  active_at: string
  deleted_at: string | null
  read_seq: number
  unread: number
  agents: Agent[]
  /** Through which other door its messages came. */
  door: 'openai' | null
}

export interface MessageMeta {
  turn?: string
  model?: string
  provider?: string
  finish?: string
  usage?: { input?: number; output?: number }
  ms?: { first?: number; total?: number }
  reasoning?: string
  error?: { code: string; detail?: string; temporary?: boolean }
  /** Of what came through the API: the request and its answer, to be fetched with `exchange`. */
  exchange?: string
  /** Which of several answers to one question, from 0. */
  choice?: number
  /** The speaker, as the API's client calls them. */
  name?: string
  /** The content as the API has it, where it is more than one text. */
  parts?: unknown[]
  refusal?: string
  call_id?: string
  tool?: string
  /** Something that only the API's client understands. */
  item?: unknown
}

export interface Message {
  id: string
  room: string
  seq: number
  by: string
  name: string
  role: 'user' | 'assistant' | 'system' | 'developer' | 'tool'
  /** text, tool_call, tool_result, reasoning, item; others may come and are shown as text. */
  kind: string
  status: 'done' | 'stopped' | 'interrupted' | 'failed'
  text: string
  cid: string | null
  reply_to: string | null
  branch: number
  at: string
  edited_at: string | null
  deleted_at: string | null
  meta: MessageMeta
}

/** Something that happened in a room. The shape of `d` depends on `k`. */
export interface RoomEvent {
  room: string
  seq: number
  k: string
  at: string
  by: string
  d: Record<string, unknown>
}

/** An answer that is being written, as `sub` gives it. */
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

/** A message that the server keeps while its database is away. */
export interface Draft {
  msg: string
  by: string
  name: string
  text: string
  cid: string
  at: string
}

export interface Limits {
  frame: number
  text: number
  inflight: number
  rooms: number
}

export interface Welcome {
  t: 'welcome'
  epoch: string
  me: Me
  ping: number
  limits: Limits
  db: 'up' | 'down'
}

export interface SubResume {
  t: 'sub'
  room: string
  mode: 'resume'
  seq: number
  events: RoomEvent[]
  streams: StreamState[]
}

export interface SubReset {
  t: 'sub'
  room: string
  mode: 'reset'
  reason: string
  seq: number
  messages: Message[]
  before: number | null
  streams: StreamState[]
}

export type SubReply = SubResume | SubReset

/** The reply to `send`, or a push (then with `room`) about a message that was accepted earlier. */
export interface Ack {
  t: 'ack'
  cid: string
  state: 'stored' | 'accepted' | 'rejected'
  room?: string
  msg?: string
  seq?: number | null
  dup?: boolean
  code?: string
  detail?: string
}

export interface ErrorFrame {
  t: 'err'
  code: string
  detail?: string
  temporary?: boolean
  retry_ms?: number
  room?: string
}

export interface RoomNotice {
  t: 'room'
  room: string
  seq: number
  at: string
  new: number
  k: string[]
}

/** What the server pushes without being asked. */
export type Push =
  | ({ t: 'ev' } & RoomEvent)
  | SubReply
  | { t: 's.open'; room: string; msg: string; turn: string; by: string; name: string; after: number }
  | { t: 's.d'; room: string; msg: string; n: number; x?: string; r?: string }
  | { t: 's.end'; room: string; msg: string }
  | ({ t: 'draft'; room: string } & Draft)
  | { t: 'typing'; room: string; by: string; name: string }
  | { t: 'read'; room: string; seq: number }
  | { t: 'unsub'; room: string; code: string; detail: string }
  | { t: 'db'; state: 'up' | 'down' }
  | { t: 'bye'; retry_ms: number }
  | { t: 'pong' }
  | { t: 'ping' }
  | Ack
  | RoomNotice
  | ErrorFrame

/** A request without its `id`, which the connection adds. */
export type Request =
  | { t: 'sub'; room: string; since?: number }
  | { t: 'unsub'; room: string }
  | { t: 'send'; room: string; cid: string; text: string; reply_to?: string | null }
  | { t: 'stop'; turn: string }
  | { t: 'retry'; msg: string; mode?: 'continue' }
  | { t: 'watch' }

export type Reply = SubReply | Ack | Welcome | { t: 'ok'; turn?: string }

export interface Page {
  messages: Message[]
  before: number | null
  after: number | null
}

/** A request through the API and its answer, as the client sent and got them. */
export interface Exchange {
  id: string
  name: string | null
  kind: 'chat' | 'response'
  state: 'running' | 'completed' | 'incomplete' | 'failed' | 'cancelled'
  model: string
  created_at: string
  ended_at: string | null
  request: unknown
  response: unknown
  usage: Record<string, unknown> | null
  ms: number | null
  finish: string | null
}

/** An API key of one's own, without its token. */
export interface Key {
  id: string
  name: string
  scopes: string[]
  created_at: string
  last_used_at: string | null
}

export interface Models {
  models: { id: string; provider: string; default?: boolean }[]
  provider: string
  hint: string | null
}

/** Where I have a session; `name` is null for the first one. */
export interface Device {
  id: string
  name: string | null
  created_at: string
  current: boolean
}

/** A link that adds a device. */
export interface Link {
  id: string
  created_at: string
  expires_at: string
}

export interface LinkOwner {
  by: { id: string; name: string }
  me: { id: string; name: string } | null
}
