/**
 * The values and frames of `palaver.v1` and of the REST door, as docs/protocol.md gives them.
 *
 * Written by scripts/page_types.py from the server's own shapes; a test compares the two. Frames from the server
 * are checked for their `t` where they arrive (connection.ts); unknown fields and kinds are ignored.
 */

/** An account, as an operator sees it. */
export interface Account {
  id: string
  handle: string
  name: string
  avatar: string | null
  status: AccountStatus
  role: ServerRole | null
  email: string | null
  created_at: string
  last_used_at: string | null
}

/** Whether who has an account may use it. */
export type AccountStatus = 'active' | 'pending' | 'disabled' | 'deleted'

/** The reply to `send`; or a push, with `room`, about a message that was accepted earlier. */
export interface Ack {
  t: 'ack'
  cid: string
  state: 'stored' | 'accepted' | 'rejected'
  msg: string
  seq: number | null
  dup?: boolean
  branch?: number
  room?: string
  code?: string
  detail?: string | null
}

/** Who can speak. */
export type ActorKind = 'person' | 'agent' | 'system'

/** An agent, with the newest version of its card. */
export interface Agent {
  handle: string | null
  name: string
  avatar: string | null
  description: string
  persona: string | null
  model: string | null
  profile: string | null
  parameters: Record<string, unknown>
  context: Context
  greeting: string
  group_greetings: string[]
  examples: string | null
  post_history: string | null
  tags: string[]
  auto_join: boolean
  default: boolean
  bot: boolean
  imported: boolean
  id: string
  version: number
  /** Null: the server's own. */
  owner: string | null
  owner_name: string | null
  audience: Audience
  /** Of the audience `some`, for who may edit it. */
  people: string[]
  /** Whether who asks may edit it. */
  editable: boolean
  archived_at: string | null
}

/** Agents, by name. */
export interface Agents {
  agents: Agent[]
}

/** What an agent is asked, the oldest first. */
export interface AskedTurns {
  turns: ToAnswer[]
}

/** Who this browser is; None for who is nobody yet. */
export interface Asking {
  me: Person | null
}

/** Who may use an agent: `ME` is its owner alone, `SOME` are people who are named, too, `EVERYONE` is anybody. */
export type Audience = 'me' | 'some' | 'everyone'

/** A page of the audit room, the newest event first. */
export interface Audited {
  events: RoomEvent[]
  /** The seq to go on before. */
  before: number | null
}

/** Where the browser goes now. */
export interface Away {
  url: string
}

/** A path through a room's messages: its own, and before them its parent's up to one seq, and so on. */
export interface Branch {
  branch: number
  /** Null for the first, which is 0. */
  parent: number | null
  /** The seq of the parent's message behind which it begins; 0: before all of them. */
  after: number
  name: string | null
  by: string | null
  created_at: string | null
  /** The seq of its newest message; null where an answer that it was made for has not come. */
  last: number | null
  deleted_at: string | null
}

/** The branches of a room, the first one first, at most a thousand beside it; deleted ones, too. */
export interface BranchList {
  branches: Branch[]
}

/** An answer that is being made, and its branch. */
export interface BranchTurn {
  turn: string
  branch: number
}

/** A bound of what answers use in a day or month. */
export interface Budget {
  kind: string
  of: string | null
  name: string
  period: string
  tokens: number | null
  cost_micros: number | null
  /** Tokens, with what is reserved for running answers. */
  used: number
  used_micros: number
  ends_at: string
}

/** All budgets. */
export interface Budgets {
  budgets: Budget[]
}

/** The server closes the connection soon. */
export interface Bye {
  t: 'bye'
  retry_ms: number
}

/** What an agent is like. What is null is told to who may edit it. */
export interface Card {
  handle: string | null
  name: string
  /** The address of a picture, which never changes. */
  avatar: string | null
  description: string
  persona: string | null
  model: string | null
  profile: string | null
  parameters: Record<string, unknown>
  context: Context
  greeting: string
  group_greetings: string[]
  examples: string | null
  post_history: string | null
  tags: string[]
  auto_join: boolean
  default: boolean
  /** Whether a program answers for it. */
  bot: boolean
  /** Whether it was made of another program's card, which is kept. */
  imported: boolean
}

/** The event that cleared a room's history; null: there was nothing to clear. */
export interface Cleared {
  seq: number | null
}

/** A room whose history was cleared, by the event at `seq`. */
export interface ClearedHistory {
  room: string
  title: string
  seq: number
  at: string
}

/** The program that a room's messages came from, as far as it told. */
export interface Client {
  program?: string
  /** Where it works. */
  folder?: string
  /** It asked with `store: false`, and is kept because its key says so. */
  kept_despite?: boolean
}

/** What happened in a room, as CloudEvents 1.0 has it. */
export interface CloudEvent {
  specversion: '1.0'
  /** `r_…:seq`. */
  id: string
  /** `/rooms/r_…`. */
  source: string
  /** `chat.palaver.` and the kind of the event. */
  type: string
  /** The message that it is about, if it is about one. */
  subject?: string
  time: string
  datacontenttype: 'application/json'
  /** Its shape depends on the type. */
  data: Record<string, unknown>
  /** The seq, in decimal digits. */
  sequence: string
  /** The room: its events come in their order. */
  partitionkey: string
  /** Who did it, where somebody did. */
  actor?: string
}

/** How much of a room an agent is told, at the most. */
export interface Context {
  messages: number | null
  tokens: number | null
}

/** The database went away or came back. */
export interface DatabaseState {
  t: 'db'
  state: 'up' | 'down'
}

/** What one may restore, the last deleted first; `histories` are all on the first page. */
export interface Deleted {
  messages: DeletedMessage[]
  histories: ClearedHistory[]
  next: string | null
}

/** A deleted message, with the text that it had, and what its room is called. */
export interface DeletedMessage {
  message: Message
  title: string
}

/** Deliveries, the newest first, and the cursor to go on before. */
export interface Deliveries {
  deliveries: Delivery[]
  before: number | null
}

/** What a webhook was told, or is to be told. */
export interface Delivery {
  /** The `webhook-id` that it was sent with. */
  id: string
  type: string
  /** None: it is a test. */
  room: string | null
  seq: number
  state: DeliveryState
  attempts: number
  /** The status of the last answer; None: none came. */
  code: number | null
  /** Why it was not asked: `address_not_allowed`: it is not public; `secret_missing`: nothing could be signed. */
  problem: Problem | null
  /** How long the last try took. */
  ms: number | null
  at: string
  /** Of one that waits: when it is tried next. */
  next_at: string | null
}

/** How far a delivery is. */
export type DeliveryState = 'waiting' | 'done' | 'failed' | 'withheld'

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

/** A message as it is now, and its version. */
export interface Edited {
  message: Message
  version: number
}

/** The message that an answer became; null where its program gave it up. */
export interface Ended {
  msg: string | null
  seq: number | null
  dup: boolean
}

/** Why a webhook is told nothing more. */
export type Ending = 'owner' | 'gone' | 'failing'

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
  turn?: string
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

/** The room whose messages another one began with, up to which seq. */
export interface Forked {
  room: string
  seq: number
}

/** A page of hits. */
export interface Found {
  hits: Hit[]
  /** Whether nothing is left out. Where something is, the search goes on with `cursor`, or the index is behind. */
  complete: boolean
  /** Where the index is behind: all that was said before is found. The epoch while it is made anew. */
  indexed_until: string | null
  /** With which to go on; None at the end, and by relevance. */
  cursor: string | null
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

/** Who reads a room now, as far as they want to be seen. */
export interface Here {
  count: number
  /** Their ids; None where they are more than a hundred. */
  people: string[] | null
}

/** Who reads a room now, when that has changed. */
export interface HereNotice {
  count: number
  people: string[] | null
  t: 'here'
  room: string
}

/** A message that was found. */
export interface Hit {
  message: Message
  /** Of its room; "" where it has none. */
  title: string
  snippet: Snippet
}

/** All of those. */
export interface Identities {
  identities: Identity[]
}

/** Who one is elsewhere. */
export interface Identity {
  id: string
  /** The provider's address; `proxy` for the proxy before this server. */
  issuer: string
  /** What it calls one, for good. */
  subject: string
  seen_at: string
}

/** An agent that was made of a file. */
export interface Imported {
  agent: Agent
  /** When it is meant to speak, where its file says so: `always`, `mentioned` or `never`. */
  speaks: string | null
}

/** A link that lets somebody in, without its token. */
export interface Invitation {
  id: string
  role: MemberRole
  /** As what on the server, with an account; None: into the one room, also as a guest. */
  server_role: ServerRole | null
  rooms: NamedRoom[]
  /** None: any number. */
  uses_left: number | null
  created_at: string
  expires_at: string
  by: Person
}

/** A page of the open invitations to the server. */
export interface InvitationPage {
  invitations: Invitation[]
  next: string | null
}

/** The open invitations of a room. */
export interface Invitations {
  invitations: Invitation[]
}

/** What an invitation is for, and who this browser is. */
export interface Invited {
  /** None: it is to the server. */
  room: InvitingRoom | null
  rooms: NamedRoom[]
  by: Person
  role: MemberRole
  server_role: ServerRole | null
  me: Me | null
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

/** The room that one came into, if any, and who one is. */
export interface Joined {
  room: Room | null
  me: Me
}

/** An API key, without its token. */
export interface Key {
  id: string
  name: string
  actor: Person
  scopes: string[]
  /** None: it is limited to none. */
  rooms: string[] | null
  created_at: string
  last_used_at: string | null
  revoked_at: string | null
  expires_at: string | null
}

/** One's own API keys. */
export interface Keys {
  keys: Key[]
}

/** People whom one may want to add. */
export interface KnownPeople {
  people: Me[]
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

/** The same person looks at this branch from now on, by another connection or by a message that began it. */
export interface Look {
  t: 'look'
  room: string
  branch: number
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

/** An account, and a link by which its person chooses a password: once, within an hour, shown this once. */
export interface MadePerson {
  person: Account
  url: string
}

/** A webhook with its new secret. */
export interface MadeWebhook {
  webhook: Webhook
  /** `whsec_…`, told this once. */
  secret: string
}

/** Who is asking. */
export interface Me {
  id: string
  name: string
  kind: ActorKind
  guest: boolean
  /** Of who has an account. */
  handle: string | null
  /** On this server, of who has an account. */
  role: ServerRole | null
  /** The address of a picture, which never changes. */
  avatar: string | null
}

/** Somebody in a room. */
export interface Member {
  id: string
  name: string
  kind: ActorKind
  guest: boolean
  handle: string | null
  avatar: string | null
  role: MemberRole
  joined_at: string
  speaks: Speaks | null
  /** Whether an agent answers who asks: it is for them, and not archived. Null: no agent. */
  for_me: boolean | null
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
  /** Whose account the author, a guest, went into: `name` is that one's, who may take back what the guest said. */
  became?: string
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
  /** In a page of a room, where there are some: those that came first stand first. */
  reactions?: Reaction[]
  pinned?: boolean
  /** By who asks. Both in a page of a room. */
  starred?: boolean
}

/** What a message said since `seq`, and who said so. */
export interface MessageVersion {
  seq: number
  at: string
  by: string | null
  text: string
}

/** What a message said, the oldest version first; `more`: there were older ones than these 50. */
export interface MessageVersions {
  versions: MessageVersion[]
  more: boolean
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
  /** Whether an agent said so when it came. */
  greeting?: boolean
}

/** A model that can answer. */
export interface Model {
  id: string
  key: string
  provider: string
  default: boolean
}

/** Who can answer here. */
export interface Models {
  models: Model[]
  provider: string
  hint: string | null
}

/** A room by its title. */
export interface NamedRoom {
  id: string
  title: string
}

/** What is told among the messages, and of whom it tells. */
export interface Notices {
  events: RoomEvent[]
  people: Person[]
}

/** The reply to what has no other. `turn`: of `retry`, `regenerate`; `branch`: of the latter; `turns`: of `ask`. */
export interface Ok {
  t: 'ok'
  turn?: string
  branch?: number
  turns?: string[]
}

/** To whom an owner opens a room: `PEOPLE` have accounts, `EVERYONE` is guests, too. */
export type OpenTo = 'people' | 'everyone'

/** A room, as who looks after the server sees it: nothing of what was said there. */
export interface Overseen {
  id: string
  /** Empty where one may not read the room, unless a person chose it: it was made of what was said. */
  title: string
  visibility: Visibility
  /** One's own, where one is a member. */
  role: MemberRole | null
  /** How many events its log has. */
  seq: number
  created_at: string
  active_at: string
  deleted_at: string | null
  archived_at: string | null
}

/** A room in the list of all. */
export interface OverseenRoom {
  id: string
  title: string
  visibility: Visibility
  role: MemberRole | null
  seq: number
  created_at: string
  active_at: string
  deleted_at: string | null
  archived_at: string | null
  /** How many are in it; 1,000 may be more. */
  members: number
  /** How many of them are agents. */
  agents: number
  /** The name of who owns it, the longest first. */
  owner: string | null
}

/** A page of all rooms of the server. */
export interface OverseenRooms {
  rooms: OverseenRoom[]
  next: string | null
}

/** Who is asking, and what only they see of it. */
export interface Own {
  id: string
  name: string
  kind: ActorKind
  guest: boolean
  handle: string | null
  role: ServerRole | null
  avatar: string | null
  email: string | null
  /** What clients are to remember, on every device. */
  preferences: Record<string, unknown>
  /** Whether one may make links by which others make accounts here. */
  invites: boolean
  /** Whether one may connect model servers. */
  connects: boolean
}

/** What is the same person's alone has changed in a room: a star at `seq`; or how they have it. */
export interface OwnNotice {
  t: 'own'
  room: string
  seq?: number
  starred?: boolean
}

/** What a room has of its own for an agent there. */
export interface OwnSettings {
  instructions: string
  model: string | null
  temperature: number | null
  asks: string | null
  bot: boolean
}

/** A page of messages of a branch's path, oldest first; with `at`, of the room as it was `then`. */
export interface Page {
  messages: Message[]
  before: number | null
  after: number | null
  branch: number
  then?: Then
}

/** A page of accounts. */
export interface PeopleList {
  people: Account[]
  next: string | null
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

/** Messages that are pinned. */
export interface Pins {
  messages: Message[]
}

/** A sign of life. */
export interface Pong {
  t: 'pong'
}

/** Why a receiver was not asked, where that is why no answer came. */
export type Problem = 'address_not_allowed' | 'secret_missing'

/** A connection to a model server, without its key. */
export interface Profile {
  id: string
  kind: string
  name: string
  url: string
  /** Whether it has one. */
  key: boolean
  /** The names of what else is sent along. */
  headers: string[]
  model: string | null
  /** Whether it is the server's, for everyone. */
  server: boolean
  /** Whether the environment says it: it cannot be changed here. */
  fixed: boolean
  /** Whether its key can be read; else it has to be entered again. */
  readable: boolean
}

/** The connections that one looks after, those of the environment first. */
export interface Profiles {
  profiles: Profile[]
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

/** What a model was told for an answer, built again from the log. */
export interface PromptTold {
  turn: string
  agent: string
  /** Null for the server's own choice; which one it was stands in the answer's `meta`. */
  model: string | null
  /** Instructions. Of the agent's own there is only a note for who may not edit it (`persona` false). */
  system: string
  persona: boolean
  /** Oldest first: `role`, `text`, and what else a message has: `name`, `parts`, `calls`, `call_id`, `thought`. */
  messages: Record<string, unknown>[]
  settings: Record<string, unknown>
  /** SHA-256 of the request as it is built now. */
  digest: string
  /** Whether this is what was sent, by its digest; null where nothing is kept to compare with. */
  same: boolean | null
  /** Why it is not the same, or nobody knows. */
  why: string | null
}

/** One's own prompts, each in its newest version. */
export interface Prompts {
  prompts: Prompt[]
}

/** A provider that signs people in, by what people call it. */
export interface Provider {
  name: string
}

/** An emoji under a message. */
export interface Reaction {
  emoji: string
  count: number
  /** The first of them, 50 of a message with all its kinds; and who asks, if they are one. */
  people: Person[]
}

/** The same person has read so far, on another connection. */
export interface ReadMark {
  t: 'read'
  room: string
  seq: number
}

/** What was used from one day to another (UTC): in all, and by whom, the most first, or day by day. */
export interface Report {
  first_day: string
  last_day: string
  total: Used
  rows: Used[]
  /** How many each day had, of the last 366 at the most. None in one's own, as `database_bytes`. */
  messages: Record<string, number> | null
  database_bytes: number | null
}

/** A link by which a password is chosen: once, within an hour, shown this once. */
export interface ResetLink {
  url: string
}

/** What a message is to a model. */
export type Role = 'user' | 'assistant' | 'system' | 'developer' | 'tool'

/** A room, as its reader sees it. */
export interface Room {
  id: string
  title: string
  visibility: Visibility
  /** Of a room that its owner opened. */
  open_to: OpenTo | null
  open_role: MemberRole | null
  role: MemberRole
  /** Whether one is a member; else one is here because the room is open. */
  joined: boolean
  seq: number
  created_at: string
  active_at: string
  deleted_at: string | null
  /** Since when nothing more is said in it. */
  archived_at: string | null
  muted: boolean
  /** Whether it is left out of one's list, until something is said. */
  hidden: boolean
  /** Whether one has it on top of one's list. */
  pinned: boolean
  read_seq: number
  /** Messages of others after `read_seq`, at most 100. */
  unread: number
  agents: Person[]
  /** Through which other door its messages came: `openai`. */
  door: string | null
  /** The room under which it stands. */
  parent: string | null
  client: Client | null
  /** Whether its agents answer one after the other. */
  turns: 'together' | 'in_turn'
  /** Whether an agent that comes says its greeting. */
  greets: boolean
  /** The branch that one looks at. */
  branch: number
  /** The one that who has chosen none looks at, and to which is added what names none. */
  main_branch: number
  /** How many were made beside the first. */
  branches: number
  /** Where it was forked. */
  forked: Forked | null
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

/** That something happened in a room, and when. */
export interface SeenEvent {
  room: string
  title: string
  seq: number
  k: string
  at: string
  /** Whether one may read what it was, at `/api/rooms/{room}/events`. */
  readable: boolean
}

/** What happened last, the newest first. */
export interface SeenEvents {
  events: SeenEvent[]
  /** In a room: the seq to go on before. */
  before: number | null
}

/** What became of a message. */
export interface Sent {
  /** `accepted`: kept by this server until the database is back. */
  state: 'stored' | 'accepted'
  msg: string
  seq: number | null
  dup: boolean
  turns: string[]
  /** Null while it is only accepted. */
  branch: number | null
}

/** What who has an account may do on the server, beside what its rooms let it do. */
export type ServerRole = 'owner' | 'admin' | 'person'

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

/** A piece of a message's text around its first hit. */
export interface Snippet {
  text: string
  /** Where the hits in it begin and end, in code points. */
  ranges: number[][]
}

/** When an agent answers what people say in a room; agents are answered when they mention one (`speaking`). `AUTO` is always while one person may speak there, else when mentioned; `ASKED` is when mentioned, or where a question ends the words. */
export type Speaks = 'auto' | 'always' | 'mentioned' | 'asked' | 'never'

/** A message that one has starred. */
export interface Starred {
  message: Message
  /** Of its room; "" where it has none. */
  title: string
}

/** A page of them. */
export interface StarredPage {
  starred: Starred[]
  next: string | null
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
  model?: string
  choice?: number
  waits?: boolean
  branch?: number
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
  model?: string
  choice?: number
  waits?: boolean
  branch?: number
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
  branch: number
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

/** Cards to begin with, whose handles are suggestions. */
export interface Templates {
  templates: Card[]
}

/** A room as it was just after one of its events. */
export interface Then {
  seq: number
  at: string
  /** What had just happened. */
  k: string
  by: Person | null
  d: Record<string, unknown>
  title: string
  /** Owners first, at most 200. Names are those of now. */
  members: Was[]
  /** Whether others were in it, too. */
  more: boolean
}

/** Milliseconds of an answer: until its first word, and in all. */
export interface Timing {
  first?: number
  total?: number
}

/** What an agent is asked, as the program that answers for it is told. */
export interface ToAnswer {
  turn: string
  room: string
  /** The id that the answer's message will have. */
  msg: string
  attempt: number
  /** The message that is to be answered. */
  trigger: Message | null
  /** So many pieces of the answer came so far. */
  n: number
  /** They, joined. */
  text: string
}

/** The models of a model server. */
export interface Tried {
  models: string[]
}

/** An answer that is being made. */
export interface Turn {
  turn: string
}

/** An agent is asked, whose program this is. */
export interface TurnAsked {
  turn: string
  room: string
  msg: string
  attempt: number
  trigger: Message | null
  n: number
  text: string
  t: 'turn'
}

/** The reply to `turn.end`: the answer is stored. `dup`: it was before. */
export interface TurnEnded {
  t: 'ack'
  msg: string
  seq: number
  dup: boolean
}

/** What the agent was asked is over without its program: somebody stopped it, or it took too long. */
export interface TurnStopped {
  t: 'turn.stop'
  room: string
  turn: string
}

/** Answers that are being made, or wait for their turn. */
export interface Turns {
  turns: string[]
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

/** Tokens of an answer. Of the input, `cached` cost less; of the output, `reasoning` was thought. `estimated`: nobody counted them. `cost_micros`: millionths of a dollar, where the price is known. */
export interface Usage {
  input?: number
  output?: number
  cached?: number
  reasoning?: number
  estimated?: boolean
  cost_micros?: number
}

/** What some answers used, in tokens. */
export interface Used {
  /** Whose they are: a model's, an actor's, a day; "" in all. */
  name: string
  /** The actor's. */
  id: string | null
  answers: number
  input: number
  output: number
  /** Of the input, what cost less. */
  cached: number
  /** Of the output, what was thought. */
  reasoning: number
  /** In millionths of a dollar; None where no price is known. */
  cost_micros: number | null
  /** Answers without a price. */
  unpriced: number
  /** Answers whose tokens nobody counted. */
  estimated: number
  /** Answers that failed. */
  failed: number
  /** Within how many milliseconds half of the answers began, and `first_p95_ms` 95 of 100: of a model's, or of all. */
  first_p50_ms: number | null
  first_p95_ms: number | null
}

/** A version of a card, made by whom (null: the operator, or a program). */
export interface Version {
  version: number
  card: Card
  by: string | null
  by_name: string | null
  at: string
}

/** Versions of a card, the newest first. */
export interface Versions {
  versions: Version[]
  /** The version to go on before. */
  before: number | null
}

/** Who finds a room: `OPEN` is everyone on this server (the Lobby), or to whom its owner opens it (`OpenTo`). */
export type Visibility = 'private' | 'open'

/** Who was in a room, and as what. */
export interface Was {
  id: string
  name: string
  role: MemberRole
}

/** How one may sign in here. */
export interface Ways {
  password: boolean
  oidc: Provider | null
  sign_up: string
}

/** A webhook, without its secret. */
export interface Webhook {
  id: string
  owner: Person
  url: string
  /** Empty: all. */
  types: string[]
  /** Empty: all that its owner may read. */
  rooms: string[]
  enabled: boolean
  /** Why it is told nothing: `owner`: it was disabled; `gone`: it answered 410; `failing`: it failed three days. */
  ended: Ending | null
  /** Since when nothing could be delivered. */
  failing_since: string | null
  /** Until when the secret before holds, too. */
  rotates_until: string | null
  created_at: string
}

/** Webhooks, the oldest first. */
export interface Webhooks {
  webhooks: Webhook[]
}

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
  | TurnEnded

export type Push =
  | Happened
  | SubResume
  | SubReset
  | StreamOpened
  | StreamDelta
  | StreamEnded
  | TurnAsked
  | TurnStopped
  | Drafted
  | Typing
  | ReadMark
  | OwnNotice
  | Look
  | HereNotice
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
  | { t: 'send'; room: string; cid: string; text: string; reply_to?: string | null; models?: string[] | null; after?: number | null; branch?: number | null }
  | { t: 'react'; msg: string; emoji: string }
  | { t: 'unreact'; msg: string; emoji: string }
  | { t: 'pin'; msg: string }
  | { t: 'unpin'; msg: string }
  | { t: 'star'; msg: string }
  | { t: 'unstar'; msg: string }
  | { t: 'stop'; turn: string }
  | { t: 'stop_room'; room: string }
  | { t: 'ask'; room: string; agent?: string | null; msg?: string | null; models?: string[] | null }
  | { t: 'retry'; msg: string; mode?: string | null }
  | { t: 'regenerate'; msg: string; model?: string | null }
  | { t: 'look'; room: string; branch: number }
  | { t: 'turn.d'; turn: string; n: number; x: string }
  | { t: 'turn.end'; turn: string; text?: string | null; error?: string | null }
  | { t: 'typing'; room: string }
  | { t: 'read'; room: string; seq: number }
  | { t: 'watch' }
