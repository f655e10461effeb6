/**
 * The list of rooms: by last activity, alive, with unread counts, a search by title and further pages.
 *
 * The server's list is the truth and is fetched anew after each reconnect; in between, the light
 * `room` pushes move rooms up and count what is new. A search has its own short list beside it.
 */
import type { RoomsPage } from './api'
import { Emitter } from './emitter'
import { Problem } from './errors'
import { folded } from './names'
import type { Room, RoomEvent, RoomNotice } from './protocol'

export interface RoomsApi {
  rooms(query: { limit: number; cursor?: string | null; search?: string }): Promise<RoomsPage>
  room(id: string): Promise<Room>
}

const PAGE_ROOMS = 40
const SEARCH_MS = 200
const UNREAD_MAX = 100
const ASKED_MAX = 8
const ASKED_MS = 2000

export class Rooms {
  readonly changed = new Emitter()
  loaded = false
  loading = false
  search = ''
  searching = false

  #api: RoomsApi
  #byId = new Map<string, Room>()
  /** Whether the person is looking at the newest message of this room right now. */
  #isWatched: (room: string) => boolean
  #next: string | null = null
  #found: { rooms: string[]; next: string | null } | null = null
  /** Rooms that were asked for one by one in the last moment. */
  #asked = 0
  #askedTimer: ReturnType<typeof setTimeout> | undefined
  #searchTimer: ReturnType<typeof setTimeout> | undefined

  constructor(api: RoomsApi, isWatched: (room: string) => boolean) {
    this.#api = api
    this.#isWatched = isWatched
  }

  get(id: string): Room | undefined {
    return this.#byId.get(id)
  }

  /** What the list shows: all by activity, or what the search found. */
  get list(): Room[] {
    const rooms = this.#found
      ? this.#found.rooms.flatMap((id) => this.#byId.get(id) ?? [])
      : [...this.#byId.values()].sort((a, b) => (a.active_at < b.active_at ? 1 : -1))
    return rooms.filter((room) => room.deleted_at === null)
  }

  get hasMore(): boolean {
    return (this.#found ? this.#found.next : this.#next) !== null
  }

  get unreadTotal(): number {
    return this.list.reduce((sum, room) => sum + room.unread, 0)
  }

  /** Fetches the first page anew; rooms that were loaded beyond it stay. */
  async refresh(): Promise<void> {
    const page = await this.#api.rooms({ limit: PAGE_ROOMS })
    const last = page.rooms.at(-1)?.active_at ?? ''
    for (const room of [...this.#byId.values()]) {
      if (page.next === null || room.active_at > last) this.#byId.delete(room.id)
    }
    this.#take(page.rooms)
    if (!this.loaded || page.next === null) this.#next = page.next
    this.loaded = true
    this.changed.emit()
  }

  async more(): Promise<void> {
    const cursor = this.#found ? this.#found.next : this.#next
    if (this.loading || cursor === null) return
    this.loading = true
    const found = this.#found
    try {
      const page = await this.#api.rooms({ limit: PAGE_ROOMS, cursor, search: found ? this.search : undefined })
      this.#take(page.rooms)
      if (found) {
        found.rooms.push(...page.rooms.map((room) => room.id))
        found.next = page.next
      } else this.#next = page.next
    } catch {
      // The list asks again when it is scrolled.
    } finally {
      this.loading = false
      this.changed.emit()
    }
  }

  /** Searches once the person has stopped typing for a moment. */
  setSearch(text: string): void {
    this.search = text
    clearTimeout(this.#searchTimer)
    const wanted = text.trim()
    if (wanted === '') {
      this.#found = null
      this.searching = false
    } else {
      this.searching = true
      this.#searchTimer = setTimeout(() => void this.#searchNow(wanted), SEARCH_MS)
    }
    this.changed.emit()
  }

  /** Titles that match, for the palette; the list is left as it is. */
  async find(text: string, limit: number): Promise<Room[]> {
    const page = await this.#api.rooms({ limit, search: text.trim() || undefined })
    this.#take(page.rooms)
    this.changed.emit()
    return page.rooms
  }

  put(room: Room): void {
    this.#byId.set(room.id, room)
    this.changed.emit()
  }

  remove(id: string): void {
    if (this.#byId.delete(id)) this.changed.emit()
  }

  /** Fetches one room again; what is not there any more leaves the list. */
  async reload(id: string): Promise<Room | null> {
    try {
      const room = await this.#api.room(id)
      if (room.deleted_at === null) this.put(this.#newer(room))
      else this.remove(id)
      return room
    } catch (error) {
      if (error instanceof Problem && error.status === 404) this.remove(id)
      return null
    }
  }

  notice(notice: RoomNotice): void {
    // To ask for what is known to be gone would only be answered by an error.
    if (notice.k.includes('room.deleted') && !notice.k.includes('room.restored')) {
      this.remove(notice.room)
      return
    }
    const room = this.#byId.get(notice.room)
    if (!room || notice.k.some((kind) => kind !== 'message.created')) {
      this.#ask(notice.room)
      return
    }
    const unread = this.#isWatched(room.id) ? room.unread : Math.min(UNREAD_MAX, room.unread + notice.new)
    this.put({ ...room, seq: Math.max(room.seq, notice.seq), active_at: notice.at, unread })
  }

  /** What an open room's own events say about it, without waiting for a fetch. */
  event(event: RoomEvent): void {
    const room = this.#byId.get(event.room)
    if (!room) return
    if (event.k === 'room.renamed') {
      this.put({ ...room, seq: Math.max(room.seq, event.seq), title: String(event.d.title ?? '') })
    } else if (event.k === 'message.created') {
      this.put({ ...room, seq: Math.max(room.seq, event.seq), active_at: maxText(room.active_at, event.at) })
    }
  }

  /** This person has read up to `seq`, here or on another connection. */
  read(id: string, seq: number): void {
    const room = this.#byId.get(id)
    if (!room || seq < room.read_seq) return
    const whole = seq >= room.seq
    this.put({ ...room, read_seq: seq, unread: whole ? 0 : room.unread })
    if (!whole && room.unread > 0) void this.reload(id)
  }

  /** Asks for one room; programs may make hundreds a minute, and those are asked for together. */
  #ask(room: string): void {
    this.#asked += 1
    if (this.#asked <= ASKED_MAX) void this.reload(room)
    this.#askedTimer ??= setTimeout(() => {
      this.#askedTimer = undefined
      if (this.#asked > ASKED_MAX) this.refresh().catch(() => undefined)
      this.#asked = 0
    }, ASKED_MS)
  }

  async #searchNow(wanted: string): Promise<void> {
    let page: RoomsPage = { rooms: [], next: null }
    try {
      page = await this.#api.rooms({ limit: PAGE_ROOMS, search: wanted })
    } catch {
      // Without the server, search what is here.
      const piece = folded(wanted)
      page.rooms = [...this.#byId.values()].filter((room) => folded(room.title).includes(piece))
    }
    if (this.search.trim() !== wanted) return
    this.#take(page.rooms)
    this.#found = { rooms: page.rooms.map((room) => room.id), next: page.next }
    this.searching = false
    this.changed.emit()
  }

  /** An answer may be older than what the open room's own events have said meanwhile. */
  #newer(room: Room): Room {
    const known = this.#byId.get(room.id)
    if (!known || known.seq <= room.seq) return room
    return { ...room, seq: known.seq, active_at: maxText(known.active_at, room.active_at), title: known.title || room.title }
  }

  #take(rooms: Room[]): void {
    for (const room of rooms) this.#byId.set(room.id, room)
  }
}

function maxText(a: string, b: string): string {
  return a > b ? a : b
}
