/**
 * What the page has of one room: the newest messages up to `seq`, what is being written, drafts, and who is in it.
 * Of a room with branches it has one path, that of `branch`.
 *
 * Rules. 1. Events are applied in the order of `seq` without a hole; repeated ones are dropped; at a
 * hole nothing more is applied until a new subscription has filled it. 2. The final message replaces
 * the stream with the same id. 3. `tail` is whole from its first message to the newest. A place far
 * up is an `island` with cursors on both sides; when it meets the tail the two become one. 4. What is
 * kept is bounded: what lies far from the reader is dropped and can be loaded again. 5. A draft stands
 * until the message with its id or the end of it comes. A new subscription ends all of them: what became
 * of them meanwhile is in its log or will be. 6. What happens now is on the path where it is of the branch itself:
 * what a branch shares with others was said before they parted.
 *
 * It does not know what is on the screen; windowing is window.ts.
 */
import type { Forks } from '../../branches/forks'
import { Emitter } from '../emitter'
import type { Draft, Message, Page, RoomEvent, StreamState, SubReply } from '../protocol'
import { addNewer, addOlder, covers, dropNewer, newestOf, type Piece } from './piece'
import { Members, type LoadMembers } from './members'
import { Notices, type LoadNotices } from './notices'
import { REDUCERS, type Messages } from './reducers'
import { Stream } from './stream'

export type LoadMessages = (
  place: { before?: number; after?: number; around?: number },
  limit: number,
  /** On whose path; none: of that in which the message lies `around` which it is. */
  branch?: number,
) => Promise<Page>

const PAGE_MESSAGES = 100
const KEEP_MESSAGES_MAX = 1200
const KEEP_MESSAGES = 800
const TAIL_MESSAGES = 200
const TYPING_MS = 5000
const DELETED = 'room_deleted'
const LEFT = 'room_left'
const BEGUN_MAX = 200

export class RoomLog {
  readonly id: string
  readonly changed = new Emitter()
  readonly members: Members
  readonly notices: Notices
  /** The turns of answers that were seen being written, as they began: the seq of what they answer. */
  readonly begun = new Map<string, number>()
  /** What the server keeps while its database is away, oldest first, by message id. */
  readonly drafts = new Map<string, Draft>()
  readonly typing = new Map<string, { name: string; until: number }>()
  /** The branch on whose path all that is here lies. */
  branch = 0
  /** How often it went over to another path. */
  turned = 0
  /** Where its paths part; null where there is one, or that is not known. */
  forks: Forks | null = null
  /** The last seq that was applied; null before the first subscription has answered. */
  seq: number | null = null
  /** Whether a subscription of this connection has answered. */
  live = false
  /** Since when there is no connection. */
  lostAt: string | null = null
  /** How often something was pinned, or not any more, since it is open. */
  pins = 0
  loading: 'older' | 'newer' | 'place' | null = null
  failed = false
  /** Why the room cannot be shown: the code of the refusal. */
  problem: string | null = null

  #tail: Piece = { messages: [], before: null, after: null }
  #island: Piece | null = null
  readonly #streams = new Map<string, Stream>()
  #generation = 0
  #load: LoadMessages
  #onHole: () => void
  readonly #reduced: Messages = {
    add: (message) => this.#add(message),
    change: (id, change) => this.#change(id, change),
    reload: (seq) => void this.#reload(seq),
    rename: (actor, name) => this.#rename(actor, name),
    nameOf: (actor) => this.nameOf(actor),
    note: (event) => this.notices.add(event),
    clear: (upto) => this.#clear(upto),
    delete: (deleted) => (this.problem = deleted ? DELETED : null),
    members: () => this.members.happened(),
    pinned: () => (this.pins += 1),
  }

  constructor(id: string, load: LoadMessages, loadMembers: LoadMembers, loadNotices: LoadNotices, onHole: () => void) {
    this.id = id
    this.members = new Members(loadMembers)
    this.notices = new Notices(loadNotices)
    this.#load = load
    this.#onHole = onHole
  }

  get messages(): readonly Message[] {
    return this.#piece.messages
  }

  /** What is being written on this path. */
  get streams(): ReadonlyMap<string, Stream> {
    return new Map([...this.#streams].filter(([, { branch }]) => branch === this.branch))
  }

  get hasOlder(): boolean {
    return this.#piece.before !== null
  }

  /** Whether the reader is at a place that is not connected with the newest messages. */
  get hasNewer(): boolean {
    return this.#island !== null
  }

  get newestSeq(): number {
    return this.seq ?? 0
  }

  /** Asks for what is told among the messages that are here. */
  coverNotices(): void {
    const { messages, before } = this.#piece
    const first = before === null ? 0 : messages[0]?.seq
    const last = this.#island ? messages.at(-1)?.seq : this.newestSeq + 1
    if (first !== undefined && last !== undefined) void this.notices.cover(first, last)
  }

  /** Looks for names that look alike, of members and of who speaks in what is here. */
  tellApart(): void {
    void this.members.tellApart(this.messages.map(({ by, became, name }) => ({ id: became ?? by, name })))
  }

  /** What somebody in it is called. */
  nameOf(actor: string): string | undefined {
    return this.members.of(actor)?.name ?? this.notices.nameOf(actor) ?? this.messages.find(({ by }) => by === actor)?.name
  }

  /** Whether a message with this client id has arrived among the newest ones. */
  hasCid(cid: string): boolean {
    return this.#tail.messages.some((message) => message.cid === cid)
  }

  /** How many messages of others came after `seq`. */
  countAfter(seq: number, me: string): number {
    return this.#tail.messages.filter((message) => message.seq > seq && message.by !== me).length
  }

  /** Who asked for this answer, as far as it is here: the person whose words it answers, or those whom it answers. */
  askedBy(msg: string): string | null {
    const said = this.messages
    const after = this.streams.get(msg)?.after
    let one = said.find(({ id, seq }) => (after === undefined ? id === msg : seq === after))
    while (one && one.role !== 'user') {
      const { seq, reply_to, meta: { turn } } = one
      const asked = this.begun.get(turn ?? '')
      // Else it names what it answers, where that does not stand right above it.
      const isAsked = (other: Message): boolean => (asked !== undefined ? other.seq === asked : reply_to ? other.id === reply_to : other.meta.turn !== turn)
      one = turn ? said.findLast((other) => other.seq < seq && isAsked(other)) : undefined
    }
    return one?.by ?? null
  }

  applySub(reply: SubReply): void {
    this.live = true
    this.lostAt = null
    this.failed = false
    this.problem = null
    if (reply.mode === 'reset') {
      this.#generation += 1
      this.#island = null
      this.loading = null
      this.#tail = { messages: reply.messages, before: reply.before, after: null }
      this.seq = reply.seq
      this.branch = reply.branch
      this.forks?.load()
    } else {
      this.seq ??= (reply.events[0]?.seq ?? reply.seq + 1) - 1
      for (const event of reply.events) this.#apply(event)
    }
    if (this.members.failed || (reply.mode === 'reset' && reply.reason !== 'new')) this.members.happened()
    this.drafts.clear()
    this.#replaceStreams(reply.streams)
    this.changed.emit()
  }

  applyEvent(event: RoomEvent): void {
    if (!this.live || this.seq === null || event.seq <= this.seq) return
    if (event.seq !== this.seq + 1) {
      this.live = false
      this.#onHole()
      return
    }
    this.#apply(event)
    this.changed.emit()
  }

  /** This person has starred the message at `seq`, here or elsewhere, or not any more. */
  star(seq: number, starred: boolean): void {
    const one = this.messages.find((message) => message.seq === seq)
    if (one) this.#change(one.id, (message) => ({ ...message, starred }))
    this.changed.emit()
  }

  openStream(state: StreamState): void {
    if (this.#tail.messages.some((message) => message.id === state.msg)) return
    this.#streams.set(state.msg, new Stream(state))
    this.begun.set(state.turn, state.after)
    for (const old of [...this.begun.keys()].slice(0, -BEGUN_MAX)) this.begun.delete(old)
    this.typing.delete(state.by)
    this.changed.emit()
  }

  delta(msg: string, n: number, text: string, reasoning: string): void {
    const stream = this.#streams.get(msg)
    const waited = stream?.waits
    stream?.append(n, text, reasoning)
    if (waited && !stream?.waits) this.changed.emit()
  }

  /** An answer or a draft ended without a message. */
  end(msg: string): void {
    const streamed = this.#streams.delete(msg)
    if (this.drafts.delete(msg) || streamed) this.changed.emit()
  }

  noteDraft(draft: Draft): void {
    if (this.#tail.messages.some((message) => message.id === draft.msg)) return
    this.drafts.set(draft.msg, draft)
    this.typing.delete(draft.by)
    this.changed.emit()
  }

  /** Somebody is typing; `now` and the timer bound how long it is shown. */
  noteTyping(by: string, name: string): void {
    this.typing.set(by, { name, until: Date.now() + TYPING_MS })
    this.changed.emit()
    setTimeout(() => {
      const entry = this.typing.get(by)
      if (entry && entry.until <= Date.now() && this.typing.delete(by)) this.changed.emit()
    }, TYPING_MS + 50)
  }

  /** The server does not give this room. */
  refused(code: string): void {
    this.live = false
    if (this.problem !== DELETED && this.problem !== LEFT) this.problem = code
    this.changed.emit()
  }

  /** The server ended the subscription: whose room it was may not read it any more. */
  ended(code: string): void {
    this.refused(code === 'room_not_found' ? LEFT : code)
  }

  /** The room was deleted, perhaps in another tab. */
  noteDeleted(): void {
    this.problem = DELETED
    this.changed.emit()
  }

  /** The connection is gone: what streams or is typed is unknown until the next subscription. */
  lost(): void {
    this.live = false
    this.lostAt ??= new Date().toISOString()
    this.typing.clear()
    this.members.noteHere(null)
    this.changed.emit()
  }

  async loadOlder(): Promise<void> {
    const piece = this.#piece
    if (piece.before === null || this.loading) return
    const before = piece.before
    await this.#loading('older', { before }, this.branch, (page) => {
      addOlder(piece, page)
      this.#boundAfter(piece)
    })
  }

  async loadNewer(): Promise<void> {
    const piece = this.#island
    if (!piece || this.loading) return
    const after = piece.after ?? piece.messages.at(-1)?.seq ?? 0
    await this.#loading('newer', { after }, this.branch, (page) => {
      addNewer(piece, page)
      this.#joinOrBound(piece)
    })
  }

  /** Makes the message at `seq` and its neighbours available, on its path; false when that could not be done. */
  async goTo(seq: number): Promise<boolean> {
    const known = [this.#tail, this.#island].find((piece) => piece && covers(piece, seq))
    const stay = (): void => {
      if (known === this.#tail) this.leaveIsland()
    }
    if (known?.messages.some((message) => message.seq === seq)) {
      stay()
      return true
    }
    const at = this.newestSeq
    return this.#loading('place', { around: seq }, undefined, (page) => {
      if (page.branch !== this.branch) this.#show(page, at)
      else if (known) stay()
      else {
        const { messages, before, after } = page
        this.#island = { messages, before, after }
        this.#joinOrBound(this.#island)
      }
    })
  }

  /** Goes over to the path of another branch, to what stands there around `seq`, or to its newest; false when that could not be done. */
  look(branch: number, seq?: number): Promise<boolean> {
    const at = this.newestSeq
    this.#generation += 1
    return this.#loading('place', seq === undefined ? {} : { around: seq }, branch, (page) => this.#show(page, at))
  }

  /** Does not wait any longer for what is being loaded. */
  giveUp(): void {
    this.#generation += 1
    this.loading = null
    this.failed = false
    this.changed.emit()
  }

  leaveIsland(): void {
    if (!this.#island) return
    this.#island = null
    this.changed.emit()
  }

  /** Called while the reader is at the newest message: nobody looks at what is far above. */
  trim(): void {
    const tail = this.#tail
    if (this.#island || tail.messages.length <= KEEP_MESSAGES_MAX) return
    this.#tail = newestOf(tail, TAIL_MESSAGES)
    this.changed.emit()
  }

  get #piece(): Piece {
    return this.#island ?? this.#tail
  }

  #apply(event: RoomEvent): void {
    if (this.seq !== null && event.seq <= this.seq) return
    this.seq = event.seq
    this.forks?.note(event)
    REDUCERS[event.k]?.log?.(this.#reduced, event)
  }

  #add(message: Message): void {
    this.#streams.delete(message.id)
    this.drafts.delete(message.id)
    this.typing.delete(message.by)
    if (message.branch !== this.branch || message.seq <= (this.#tail.messages.at(-1)?.seq ?? 0)) return
    this.#tail.messages = [...this.#tail.messages, message]
  }

  #rename(actor: string, name: string): void {
    this.notices.called(actor, name)
    for (const piece of [this.#tail, this.#island]) {
      if (piece) piece.messages = piece.messages.map((message) => (message.by === actor ? { ...message, name } : message))
    }
  }

  #change(id: string, change: (message: Message) => Message): void {
    for (const piece of [this.#tail, this.#island]) {
      const index = piece ? piece.messages.findIndex((message) => message.id === id) : -1
      if (piece && index >= 0) piece.messages = piece.messages.with(index, change(piece.messages[index]!))
    }
  }

  /** Older ones are asked for again: what is loading does not know of it. */
  #clear(upto: number | null): void {
    this.#generation += 1
    this.loading = this.#island = null
    const messages = this.#tail.messages.filter(({ seq }) => seq > (upto ?? 0))
    this.#tail = { messages, before: upto === null ? (messages[0]?.seq ?? this.newestSeq + 1) : null, after: null }
    if (upto === null) void this.loadOlder()
  }

  async #reload(seq: number): Promise<void> {
    const page = await this.#load({ after: seq - 1 }, 1, this.branch).catch(() => null)
    const fresh = page?.messages[0]
    if (!fresh || fresh.seq !== seq) return
    this.#change(fresh.id, () => fresh)
    this.changed.emit()
  }

  #replaceStreams(states: StreamState[]): void {
    const current = new Set(states.map((state) => state.msg))
    for (const msg of [...this.#streams.keys()]) if (!current.has(msg)) this.#streams.delete(msg)
    for (const state of states) {
      const known = this.#streams.get(state.msg)
      if (known) known.replace(state)
      else this.openStream(state)
    }
  }

  async #loading(
    kind: 'older' | 'newer' | 'place',
    place: { before?: number; after?: number; around?: number },
    branch: number | undefined,
    take: (page: Page) => void,
  ): Promise<boolean> {
    const generation = this.#generation
    this.loading = kind
    this.failed = false
    this.changed.emit()
    try {
      const page = await this.#load(place, PAGE_MESSAGES, branch)
      if (generation === this.#generation) take(page)
      return true
    } catch {
      if (generation === this.#generation) this.failed = true
      return false
    } finally {
      if (generation === this.#generation) this.loading = null
      this.changed.emit()
    }
  }

  /** Shows the path of a page, asked for when the room was at the seq `at`: what happened since is heard again. */
  #show({ branch, messages, before, after }: Page, at: number): void {
    this.#generation += 1
    this.loading = null
    this.turned += 1
    this.branch = branch
    const piece = { messages, before, after }
    this.#island = after === null ? null : piece
    this.#tail = after === null ? piece : { messages: [], before: at + 1, after: null }
    if (this.seq === at) return
    this.seq = at
    this.live = false
    this.#onHole()
  }

  /** After growing upwards. A tail that grew too long becomes a place of its own. */
  #boundAfter(piece: Piece): void {
    if (piece.messages.length <= KEEP_MESSAGES_MAX) return
    if (piece === this.#tail) {
      this.#island = { ...piece }
      this.#tail = newestOf(piece, TAIL_MESSAGES)
    }
    dropNewer(this.#island!, KEEP_MESSAGES)
  }

  /** After growing downwards: becomes one with the tail where they meet, else lets go of what is far above. */
  #joinOrBound(island: Piece): void {
    const first = this.#tail.messages[0]?.seq ?? Infinity
    const last = island.messages.at(-1)?.seq ?? -1
    if (island.after === null || last >= first) {
      const newer = this.#tail.messages.filter((message) => message.seq > last)
      this.#tail = { messages: [...island.messages, ...newer], before: island.before, after: null }
      this.#island = null
    } else if (island.messages.length > KEEP_MESSAGES_MAX) {
      this.#island = { ...newestOf(island, KEEP_MESSAGES), after: island.after }
    }
  }
}
