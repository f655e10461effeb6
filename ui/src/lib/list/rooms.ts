/**
 * The list of chats: by last activity, alive, with unread counts and further pages.
 *
 * The server's list is the truth and is fetched anew after each reconnect; in between, the light
 * `room` pushes move chats up and count what is new. Each section is kept in its order and the unread
 * are counted as they come, so that reading costs the same with five chats and with five thousand.
 */
import type { RoomsPage } from '../server/api'
import { Emitter } from '../emitter'
import { Problem } from '../server/errors'
import { folded } from '../words/names'
import { Families, parentOf } from './families'
import { Ordered } from './ordered'
import type { Room, RoomEvent, RoomNotice } from '../protocol'
import { REDUCERS } from '../room/reducers'
import { isEveryones } from '../room/rights'

export interface RoomsApi {
  rooms(query: { limit: number; cursor?: string | null; search?: string; archived?: boolean; pinned?: boolean }): Promise<RoomsPage>
  room(id: string): Promise<Room>
}

/** Where in the list a chat stands: on top, with everyone's, one's own, or those that programs made. */
export type Section = 'pinned' | 'shared' | 'own' | 'programs'

/** A chat and its place: the time that it is ordered by, and the chat under which it stands. */
interface Entry {
  room: Room
  at: string
  under: Entry | null
}

const SECTIONS: readonly Section[] = ['pinned', 'shared', 'own', 'programs']
/** The room that everyone is in and that each list begins with, however long nothing was said there. */
const LOBBY = 'r_00000000000070008000006c6f626279'
const PAGE_ROOMS = 40
const PINNED_MAX = 50
const UNREAD_MAX = 100
const ASKED_MAX = 8
const ASKED_MS = 2000

export class Rooms {
  readonly changed = new Emitter()
  loaded = false
  loading = false
  /** How many messages of others are unread, in all chats that are loaded. */
  unreadTotal = 0

  #api: RoomsApi
  #entries = new Map<string, Entry>()
  #sections: Record<Section, Ordered<Entry>>
  #families = new Families()
  /** The chats that stand in the list, or in one that does. */
  readonly #known = (id: string): Room | undefined => {
    const room = this.get(id)
    return room && isListed(room) ? room : undefined
  }
  /** Whether the person is looking at the newest message of this room right now. */
  #isWatched: (room: string) => boolean
  #next: string | null = null
  /** While somebody points into the list nothing changes its place; these do when they leave. */
  #held: Set<string> | null = null
  /** Rooms that were asked for one by one in the last moment. */
  #asked = 0
  #askedTimer: ReturnType<typeof setTimeout> | undefined

  constructor(api: RoomsApi, isWatched: (room: string) => boolean, before: (a: Entry, b: Entry) => boolean = newestFirst) {
    this.#api = api
    this.#isWatched = isWatched
    this.#sections = { pinned: new Ordered(before), shared: new Ordered(before), own: new Ordered(before), programs: new Ordered(before) }
  }

  get(id: string): Room | undefined {
    return this.#entries.get(id)?.room
  }

  count(section: Section): number {
    return this.#sections[section].length
  }

  /** The chats of a section from one place to before another, the newest first. */
  slice(section: Section, from: number, to: number): Room[] {
    return this.#sections[section].slice(from, to).map((entry) => entry.room)
  }

  /** How many chats of a section were active at this time or later. */
  countSince(section: Section, at: string): number {
    return this.#sections[section].countBefore((entry) => (entry.under ?? entry).at >= at)
  }

  /** How many lines of a section its first chats take, with what stands under them; up to `open` in any case. */
  linesOf(section: Section, chats: number, open: string | null = null): number {
    const entries = this.#sections[section]
    let [line, left] = [0, chats]
    for (; line < entries.length; line += 1) if (entries.at(line)?.under === null && --left < 0) break
    const here = open && this.placeOf(open)
    return here && here.section === section && here.index >= line ? here.index + 1 : line
  }

  /** Whether a chat stands under another one. */
  isChild(id: string): boolean {
    return this.#entries.get(id)?.under != null
  }

  /** The chats that stand under this one, or would; whether they do; and what is unread in those that do not. */
  familyOf(id: string): { count: number; open: boolean; unread: number } {
    const children = this.isChild(id) ? [] : this.#families.below(id, this.#known)
    const unread = children.reduce((sum, room) => sum + (this.#families.isShown(room, id, this.#known) ? 0 : room.unread), 0)
    return { count: children.length, open: this.#families.isOpen(id, this.#known), unread: Math.min(UNREAD_MAX, unread) }
  }

  /** What came out of a chat, or out of that. */
  childrenOf(id: string): Room[] {
    return this.#families.below(id, this.#known)
  }

  /** Shows what came out of a chat, or hides it. */
  unfold(id: string, open: boolean): void {
    this.#families.ask(id, open)
    this.#place(id)
    this.changed.emit()
  }

  /** This chat is open: its family is seen. */
  go(id: string | null): void {
    const before = this.#families.go(id)
    if (before === id) return
    for (const one of [before, id]) if (one !== null) this.#place(this.#topOf(one))
    this.changed.emit()
  }

  /** Where in its section a chat stands; null if it is not in the list. */
  placeOf(id: string): { section: Section; index: number } | null {
    const entry = this.#entries.get(id)
    const section = entry && sectionOf(entry.room)
    const index = section ? this.#sections[section].indexOf(entry) : -1
    return section && index >= 0 ? { section, index } : null
  }

  /** The newest chats of all sections. */
  newest(count: number): Room[] {
    const firsts = SECTIONS.flatMap((section) => this.#sections[section].slice(0, count))
    return firsts.sort((a, b) => (newestFirst(a, b) ? -1 : 1)).slice(0, count).map((entry) => entry.room)
  }

  /** The chat above (-1) or below (1) this one as the list shows them; `unread`: the next that has something new. */
  beside(id: string | null, step: 1 | -1, unread: boolean): Room | undefined {
    const place = id === null ? null : this.placeOf(id)
    let section = place ? SECTIONS.indexOf(place.section) : step === 1 ? 0 : SECTIONS.length - 1
    let index = place ? place.index + step : step === 1 ? 0 : this.count(SECTIONS[section]!) - 1
    for (; section >= 0 && section < SECTIONS.length; section += step) {
      const rooms = this.#sections[SECTIONS[section]!]
      for (; index >= 0 && index < rooms.length; index += step) {
        const room = rooms.at(index)!.room
        if (!unread || room.unread > 0) return room
      }
      index = step === 1 ? 0 : this.count(SECTIONS[section + step] ?? 'own') - 1
    }
    return undefined
  }

  get hasMore(): boolean {
    return this.#next !== null
  }

  /** Keeps every chat in its place until it is told otherwise. */
  hold(held: boolean): void {
    if (held) {
      this.#held ??= new Set()
      return
    }
    const late = this.#held
    this.#held = null
    if (!late?.size) return
    for (const id of late) {
      const room = this.get(id)
      if (room) this.#set(room)
    }
    this.changed.emit()
  }

  /** Fetches the first page anew; rooms that were loaded beyond it stay. */
  async refresh(): Promise<void> {
    const page = await this.#api.rooms({ limit: PAGE_ROOMS, archived: false })
    const last = page.rooms.at(-1)?.active_at ?? ''
    const kept = new Set(page.rooms.map((room) => room.id))
    for (const { room } of [...this.#entries.values()]) {
      if (isListed(room) && !kept.has(room.id) && (page.next === null || room.active_at > last)) this.#drop(room.id)
    }
    this.#take(page.rooms)
    if (!this.loaded || page.next === null) this.#next = page.next
    this.loaded = true
    if (page.next !== null) {
      const top = await this.#api.rooms({ limit: PINNED_MAX, archived: false, pinned: true })
      const pinned = new Set(top.rooms.map((room) => room.id))
      for (const { room } of [...this.#entries.values()]) if (room.pinned && !pinned.has(room.id)) this.#set({ ...room, pinned: false })
      this.#take(top.rooms)
      if (!this.get(LOBBY)) await this.reload(LOBBY)
    }
    this.changed.emit()
  }

  async more(): Promise<void> {
    const cursor = this.#next
    if (this.loading || cursor === null) return
    this.loading = true
    try {
      const page = await this.#api.rooms({ limit: PAGE_ROOMS, cursor, archived: false })
      this.#take(page.rooms)
      this.#next = page.next
    } catch {
      // The list asks again when it is scrolled.
    } finally {
      this.loading = false
      this.changed.emit()
    }
  }

  /** Chats whose titles match; those that are here, where the server is out of reach. */
  async find(text: string, limit: number): Promise<Room[]> {
    const wanted = text.trim()
    try {
      const page = await this.#api.rooms({ limit, search: wanted })
      this.#take(page.rooms)
      this.changed.emit()
      return page.rooms
    } catch {
      const piece = folded(wanted)
      const here = [...this.#entries.values()].map((entry) => entry.room)
      return here.filter((room) => folded(room.title).includes(piece)).slice(0, limit)
    }
  }

  put(room: Room): void {
    this.#set(room)
    this.changed.emit()
  }

  remove(id: string): void {
    if (this.#drop(id)) this.changed.emit()
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
    const room = this.get(notice.room)
    const kinds = notice.k.filter((kind) => !/^reaction|pinned$/.test(kind))
    if (room && kinds.length === 0) {
      this.put({ ...room, seq: Math.max(room.seq, notice.seq) })
      return
    }
    // What was said may lie on another path.
    if (!room || room.branches > 0 || kinds.some((kind) => kind !== 'message.created')) {
      this.#ask(notice.room)
      return
    }
    const unread = this.#isWatched(room.id) ? room.unread : Math.min(UNREAD_MAX, room.unread + notice.new)
    this.put({ ...room, hidden: false, seq: Math.max(room.seq, notice.seq), active_at: notice.at, unread })
  }

  /** What an open room's own events say about it, without waiting for a fetch. */
  event(event: RoomEvent): void {
    const room = this.get(event.room)
    const change = REDUCERS[event.k]?.list
    if (room && change) this.put({ ...room, seq: Math.max(room.seq, event.seq), ...change(room, event) })
  }

  /** This person has read up to `seq`, here or on another connection. */
  read(id: string, seq: number): void {
    const room = this.get(id)
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

  /** An answer may be older than what the open room's own events have said meanwhile. */
  #newer(room: Room): Room {
    const known = this.get(room.id)
    if (!known || known.seq <= room.seq) return room
    return { ...room, seq: known.seq, active_at: maxText(known.active_at, room.active_at), title: known.title || room.title }
  }

  #take(rooms: Room[]): void {
    for (const room of rooms) this.#set(room)
  }

  #set(room: Room): void {
    if (room.deleted_at !== null) {
      this.#drop(room.id)
      return
    }
    const shown = this.get(room.id)
    if (shown && isListed(shown) !== isListed(room)) this.#drop(room.id)
    if (!isListed(room)) {
      this.#entries.set(room.id, { room, at: room.active_at, under: null })
      return
    }
    const known = this.#entries.get(room.id)
    const stays = known && this.#held && sectionOf(known.room) === sectionOf(room)
    if (stays && known.at !== room.active_at) this.#held?.add(room.id)
    const at = stays ? known.at : room.active_at
    const parent = parentOf(known?.room)
    // Whoever took it to be alone, or to be with others, is placed anew.
    const before = known && this.#topOf(room.id)
    if (known) this.#unplace(before!)
    this.unreadTotal += countOf(room) - countOf(known?.room)
    this.#families.note(room.id, parentOf(room), parent)
    const orphans = known ? [] : this.#families.below(room.id, this.#known)
    for (const orphan of orphans) this.#remove(orphan.id)
    this.#entries.set(room.id, { room, at, under: null })
    const top = this.#topOf(room.id)
    if (before !== undefined && before !== top) this.#place(before)
    this.#place(top)
  }

  #drop(id: string): boolean {
    const known = this.#entries.get(id)
    if (!known) return false
    const top = this.#topOf(id)
    const children = this.#families.below(id, this.#known)
    this.#unplace(top)
    this.#entries.delete(id)
    this.#families.note(id, null, parentOf(known.room))
    this.unreadTotal -= countOf(known.room)
    for (const one of [top, ...children.map((room) => this.#topOf(room.id))]) this.#place(one)
    return true
  }

  #topOf(id: string): string {
    return this.#families.topOf(id, this.#known)
  }

  /** Puts a chat, and what of its family is seen, where they belong. */
  #place(top: string): void {
    const entry = this.#entries.get(top)
    if (!entry || !isListed(entry.room) || this.#topOf(top) !== top) return
    this.#unplace(top)
    const root: Entry = { ...entry, under: null }
    const section = this.#sections[sectionOf(root.room)]
    this.#entries.set(top, root)
    section.add(root)
    for (const { id } of this.#families.below(top, this.#known)) {
      const child = this.#entries.get(id)
      if (!child) continue
      const placed: Entry = { ...child, under: root }
      this.#entries.set(id, placed)
      if (this.#families.isShown(child.room, top, this.#known)) section.add(placed)
    }
  }

  #unplace(top: string): void {
    for (const { id } of this.#families.below(top, this.#known)) this.#remove(id)
    this.#remove(top)
  }

  #remove(id: string): void {
    const entry = this.#entries.get(id)
    if (entry) this.#sections[sectionOf((entry.under ?? entry).room)].remove(entry)
  }
}

/** What is archived stands on a shelf; what is hidden nowhere, until something is said there; what is open only once one has joined. */
function isListed(room: Room): boolean {
  return room.archived_at === null && !room.hidden && (room.joined || !room.open_to)
}

/** What is told of as unread: nothing where one wants quiet. */
function countOf(room: Room | undefined): number {
  return room && isListed(room) && !room.muted ? room.unread : 0
}

function sectionOf(room: Room): Section {
  return room.pinned ? 'pinned' : room.door ? 'programs' : isEveryones(room) ? 'shared' : 'own'
}

/** What stands under a chat comes after it, in an order of its own. */
export function newestFirst(a: Entry, b: Entry): boolean {
  const [over, other] = [a.under ?? a, b.under ?? b]
  if (over !== other) return isNewer(over, other)
  return a === over ? b !== over : b !== over && isNewer(a, b)
}

function isNewer(a: Entry, b: Entry): boolean {
  return a.at === b.at ? a.room.id > b.room.id : a.at > b.at
}

function maxText(a: string, b: string): string {
  return a > b ? a : b
}
