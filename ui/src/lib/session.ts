/**
 * The composition root of the page: who I am, the connection, the rooms, the open rooms' logs, the outbox.
 *
 * It carries frames to where they belong and decides what to ask again after a reconnect. It knows no
 * screen: components read its parts, which tell through their `changed` that they did.
 */
import { Api } from './server/api'
import { Connection, type Socket } from './server/connection'
import { Drafts } from './outbox/drafts'
import { Emitter } from './emitter'
import { charactersIn, isRefusal, Problem } from './server/errors'
import { Outbox, type KeyStore } from './outbox/outbox'
import type { Ack, Limits, Me, Message, Models, Own, OwnSettings, Page, Push, Room, RoomEvent, RoomNotice, SubReply, Welcome } from './protocol'
import { RoomLog, type LoadMessages } from './room/room'
import { Rooms } from './list/rooms'

const LOGS_MAX = 8
const RESUME_MS = 4000
const RETRY_MS = 2000
const TYPING_EVERY_MS = 3000
const READ_EVERY_MS = 800

export class Session {
  readonly changed = new Emitter()
  readonly api = new Api()
  readonly rooms: Rooms
  readonly outbox: Outbox
  readonly drafts: Drafts
  readonly connection: Connection
  me: Me | null = null
  /** What the server tells the person alone of themselves: what they wish of the page on every device, and whether they invite to it. */
  own: Own | null = null
  models: Models | null = null
  db: 'up' | 'down' = 'up'
  limits: Limits = { frame: 1_216_384, text: 100_000, inflight: 32, rooms: 64 }
  /** Whether somebody waits to be let in, of whom this person may decide. */
  waits = false
  /** Nobody is a guest here by coming: one signs in first. */
  stranger = false
  /** The server does not accept the address that this page has. */
  refused = false
  /** The room whose newest message is before the person's eyes. */
  watched: string | null = null
  /** What the next chat that is made has of its own, and how it is set there first. */
  ahead: { own: Partial<OwnSettings>; set: (room: Room) => Promise<unknown> } | null = null

  #arriving: Promise<void> | null = null
  #epoch: string | null = null
  #logs = new Map<string, RoomLog>()
  #typedAt = 0
  #readTimer: ReturnType<typeof setTimeout> | undefined
  #readMarks = new Map<string, number>()

  constructor(store: KeyStore, openSocket: () => Socket) {
    this.rooms = new Rooms(this.api, (room) => room === this.watched)
    this.connection = new Connection({
      open: openSocket,
      last: () => this.#last(),
      onWelcome: (welcome) => this.#welcomed(welcome),
      onPush: (push) => this.#pushed(push),
      onLost: () => this.#lost(),
    })
    this.drafts = new Drafts(store)
    this.outbox = new Outbox(store, async (entry) => {
      // The server would end the connection over a frame of any size.
      if (charactersIn(entry.text) > this.limits.text) throw new Problem('text_too_long')
      const reply = await this.connection.request({
        t: 'send', room: entry.room, cid: entry.cid, text: entry.text, reply_to: null, models: entry.models ?? null, branch: entry.branch ?? null,
      })
      return reply as Ack
    })
  }

  /** The first REST call gives the cookie, which the WebSocket then carries. */
  async start(): Promise<void> {
    while (!this.me) {
      try {
        await this.#arrive()
      } catch (error) {
        const problem = error as Problem
        this.refused = isRefusal(problem)
        this.stranger = problem.code === 'unauthenticated'
        this.changed.emit()
        if (this.stranger) return
        await new Promise((resolve) => setTimeout(resolve, problem.retryMs ?? RETRY_MS))
      }
    }
    this.connection.connect()
    this.models = await this.api.models().catch(() => null)
    this.changed.emit()
  }

  /** The log of a room, subscribed; the least recently used one is let go. */
  open(room: string): RoomLog {
    const known = this.#logs.get(room)
    const log = known ?? this.#log(room)
    this.#logs.delete(room)
    this.#logs.set(room, log)
    if (!known) {
      void this.#subscribe(room)
      if (!this.rooms.get(room)) void this.rooms.reload(room)
    }
    for (const old of [...this.#logs.keys()].slice(0, -LOGS_MAX)) this.#close(old)
    return log
  }

  /** Asks anew for what a room waits for. */
  again(room: string): void {
    this.#logs.get(room)?.giveUp()
    void this.#subscribe(room)
  }

  async stop(turn: string): Promise<void> {
    await this.connection.request({ t: 'stop', turn })
  }

  /** Another answer in the place of this one. */
  async retry(message: Message): Promise<void> {
    await this.connection.request({ t: 'retry', msg: message.id })
  }

  /** Another answer that goes on where this one ended, which stays. */
  async goOn(message: Message): Promise<void> {
    await this.connection.request({ t: 'retry', msg: message.id, mode: 'continue' })
  }

  typing(room: string): void {
    const now = Date.now()
    if (now - this.#typedAt < TYPING_EVERY_MS) return
    this.#typedAt = now
    this.connection.push({ t: 'typing', room })
  }

  /** The person has seen everything up to `seq`. Told to the server at most every 0.8 s. */
  markRead(room: string, seq: number): void {
    const known = this.rooms.get(room)
    if (!known || (seq <= known.read_seq && known.unread === 0)) return
    this.rooms.read(room, Math.max(seq, known.seq))
    this.#readMarks.set(room, seq)
    this.#readTimer ??= setTimeout(() => {
      this.#readTimer = undefined
      for (const [id, mark] of this.#readMarks) this.connection.push({ t: 'read', room: id, seq: mark })
      this.#readMarks.clear()
    }, READ_EVERY_MS)
  }

  async rename(name: string): Promise<void> {
    this.#is(await this.api.change({ name }))
    this.changed.emit()
  }

  /** Keeps a wish for all devices. */
  async prefer(preferences: Own['preferences']): Promise<void> {
    this.#is(await this.api.change({ preferences }))
    this.changed.emit()
  }

  /** One has another picture, or none. */
  pictured(avatar: string | null): void {
    if (this.me) this.me = { ...this.me, avatar }
    this.changed.emit()
    for (const log of this.#logs.values()) log.members.happened()
  }

  #is(own: Own): void {
    this.me = this.own = own
  }

  /** Who I am, asked once at a time: who comes without a cookie and writes before the answer would be somebody else. */
  #arrive(): Promise<void> {
    this.#arriving ??= this.api.me().then((own) => {
      this.#is(own)
      this.refused = false
      this.outbox.restore(own.id)
      this.changed.emit()
    }).finally(() => (this.#arriving = null))
    return this.#arriving
  }

  async createRoom(): Promise<Room> {
    if (!this.me) await this.#arrive()
    const room = await this.api.createRoom()
    await this.ahead?.set(room)
    this.ahead = null
    this.rooms.put(room)
    return room
  }

  async deleteRoom(id: string): Promise<void> {
    const before = this.rooms.get(id)
    this.rooms.remove(id)
    try {
      await this.api.deleteRoom(id)
      this.#close(id)
    } catch (error) {
      if (before) this.rooms.put(before)
      throw error
    }
  }

  /** Whether it is known that others are in a room, too. */
  isShared(room: Room): boolean {
    return room.role !== 'owner' || (this.#logs.get(room.id)?.members.people.length ?? 0) > 1
  }

  async restoreRoom(id: string): Promise<void> {
    this.rooms.put(await this.api.restoreRoom(id))
  }

  #log(room: string): RoomLog {
    return new RoomLog(
      room,
      (place, limit, branch) => this.#page(room, place, limit, branch),
      (cursor) => this.api.members(room, cursor),
      (after, before) => this.api.notices(room, after, before),
      () => void this.#subscribe(room),
    )
  }

  /** A page; one of another path than is looked at is looked at from now on. */
  async #page(room: string, place: Parameters<LoadMessages>[0], limit: number, branch?: number): Promise<Page> {
    const page = await this.api.messages(room, place, limit, branch)
    if (branch === undefined && page.branch !== this.#logs.get(room)?.branch) this.connection.push({ t: 'look', room, branch: page.branch })
    return page
  }

  #close(room: string): void {
    if (this.#logs.delete(room)) this.connection.request({ t: 'unsub', room }).catch(() => undefined)
  }

  #last(): { epoch: string; rooms: Record<string, number> } | null {
    if (this.#epoch === null) return null
    const rooms: Record<string, number> = {}
    for (const log of this.#logs.values()) if (log.seq !== null) rooms[log.id] = log.seq
    return { epoch: this.#epoch, rooms }
  }

  #welcomed(welcome: Welcome): void {
    this.#epoch = welcome.epoch
    this.refused = false
    this.me = welcome.me
    this.db = welcome.db
    this.limits = { ...this.limits, ...welcome.limits }
    this.changed.emit()
    this.connection.request({ t: 'watch' }).catch(() => undefined)
    const refreshed = this.rooms.refresh().catch(() => undefined)
    // What is archived or hidden is in no list.
    void refreshed.then(() => {
      for (const { id } of this.#logs.values()) if (!this.rooms.get(id)) void this.rooms.reload(id)
    })
    for (const log of this.#logs.values()) if (log.seq === null) void this.#subscribe(log.id)
    // What the hello asked to resume and was not answered is asked for once more, by itself.
    setTimeout(() => {
      for (const log of this.#logs.values()) if (!log.live) void this.#subscribe(log.id)
    }, RESUME_MS)
    this.outbox.setOpen(true)
  }

  #lost(): void {
    this.outbox.setOpen(false)
    for (const log of this.#logs.values()) log.lost()
    this.changed.emit()
    if (this.#epoch === null && this.connection.attempts === 1) void this.#askWhy()
  }

  /** A browser does not say why a connection was refused; a call that writes is told. */
  async #askWhy(): Promise<void> {
    this.refused = isRefusal(await this.api.probe().catch((error: unknown) => error))
    this.changed.emit()
  }

  async #subscribe(room: string): Promise<void> {
    const log = this.#logs.get(room)
    if (!log || log.live || this.connection.state !== 'open') return
    try {
      const since = log.seq ?? undefined
      this.#subscribed((await this.connection.request({ t: 'sub', room, since })) as SubReply)
    } catch (error) {
      const problem = error as Problem
      if (problem.temporary) setTimeout(() => void this.#subscribe(room), problem.retryMs ?? RETRY_MS)
      else log.refused(problem.code)
    }
  }

  #subscribed(reply: SubReply): void {
    const log = this.#logs.get(reply.room)
    if (!log) return
    log.applySub(reply)
    const messages =
      reply.mode === 'reset'
        ? reply.messages
        : reply.events.filter((event) => event.k === 'message.created').map((event) => event.d as unknown as Message)
    for (const message of messages) this.#settle(message)
    for (const event of reply.mode === 'resume' ? reply.events : []) this.rooms.event(event)
    this.outbox.settleUpTo(reply.room, reply.seq)
    // A reset does not say what else happened, such as a new title.
    const known = this.rooms.get(reply.room)
    if (reply.mode === 'reset' && known && known.seq < reply.seq) void this.rooms.reload(reply.room)
  }

  #settle(message: Message): void {
    if (message.cid && message.by === this.me?.id) this.outbox.settle(message.cid)
  }

  #pushed(push: Push): void {
    switch (push.t) {
      case 'ev':
        this.#event(push)
        break
      case 'sub':
        this.#subscribed(push)
        break
      case 's.open':
        this.#logs.get(push.room)?.openStream({ ...push, n: 0, text: '', reasoning: '' })
        break
      case 's.d':
        this.#logs.get(push.room)?.delta(push.msg, push.n, push.x ?? '', push.r ?? '')
        break
      case 's.end':
        this.#logs.get(push.room)?.end(push.msg)
        break
      case 'draft':
        this.#logs.get(push.room)?.noteDraft(push)
        break
      case 'typing':
        if (push.by !== this.me?.id) this.#logs.get(push.room)?.noteTyping(push.by, push.name)
        break
      case 'here':
        this.#logs.get(push.room)?.members.noteHere(push)
        break
      case 'read':
        this.rooms.read(push.room, push.seq)
        break
      case 'own':
        if (push.seq === undefined) void this.rooms.reload(push.room)
        else this.#logs.get(push.room)?.star(push.seq, push.starred === true)
        break
      case 'look':
        if (this.#logs.get(push.room)?.branch !== push.branch) void this.#logs.get(push.room)?.look(push.branch)
        break
      case 'room':
        this.rooms.notice(push)
        this.#noticed(push)
        break
      case 'unsub':
        this.#logs.get(push.room)?.ended(push.code)
        this.rooms.remove(push.room)
        break
      case 'ack':
        this.outbox.acknowledged(push)
        break
      case 'db':
        this.db = push.state
        this.changed.emit()
        break
      default: // Kinds that this page does not know yet.
    }
  }

  /** A chat that is open here was deleted or restored elsewhere, perhaps while this page was far behind. */
  #noticed(notice: RoomNotice): void {
    const restored = notice.k.includes('room.restored')
    if (!restored && notice.k.includes('room.deleted')) this.#logs.get(notice.room)?.noteDeleted()
    if (restored) void this.#subscribe(notice.room)
  }

  #event(event: RoomEvent): void {
    const log = this.#logs.get(event.room)
    log?.applyEvent(event)
    if (log && event.k === 'message.created' && (log.seq ?? 0) >= event.seq) {
      this.#settle(event.d as unknown as Message)
    }
    this.rooms.event(event)
  }
}
