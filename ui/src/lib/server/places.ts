/** The calls of REST about what a chat is called, was, who finds it and where it stands, made by what is loaded when it is first looked at. */
import type { RoomsPage } from './api'
import type { Calls } from './calls'
import type { OpenTo, Page, Room, Then } from '../protocol'
import type { Session } from '../session'

const PAGE_MESSAGES = 50
const one = (room: string): string => `/rooms/${encodeURIComponent(room)}`

/** To whom a chat is open, and as what they are there. */
export interface Openness {
  open_to: OpenTo
  open_role: 'reader' | 'member'
}

/** Shows the new title at once; the old one comes back when the server refuses. */
export async function rename({ api, rooms }: Session, room: string, title: string): Promise<void> {
  const before = rooms.get(room)
  if (before) rooms.put({ ...before, title })
  try {
    rooms.put(await api.call<Room>('PATCH', one(room), { title }))
  } catch (error) {
    if (before) rooms.put(before)
    throw error
  }
}

/** In an archived chat nothing more is said. */
export function setArchived(calls: Calls, room: string, archived: boolean): Promise<Room> {
  return calls.call('POST', `${one(room)}/${archived ? 'archive' : 'unarchive'}`)
}

export async function archive({ api, rooms }: Session, room: string, archived: boolean): Promise<void> {
  rooms.put(await setArchived(api, room, archived))
}

/** One's own wishes, of which nobody else hears. */
export async function wish({ api, rooms }: Session, room: string, wishes: { muted?: boolean; hidden?: boolean; pinned?: boolean }): Promise<void> {
  rooms.put(await api.call<Room>('PATCH', `/me${one(room)}`, wishes))
}

/** null: it is its members' alone. */
export function openTo(calls: Calls, room: string, whom: Openness | null): Promise<Room> {
  return calls.call('PUT', `${one(room)}/visibility`, whom ? { visibility: 'open', ...whom } : { visibility: 'private' })
}

/** null: at the top. */
export function move(calls: Calls, room: string, parent: string | null): Promise<Room> {
  return calls.call('PUT', `${one(room)}/parent`, { parent })
}

/** Becomes a member of an open chat. */
export function comeIn(calls: Calls, room: string): Promise<Room> {
  return calls.call('POST', `${one(room)}/join`)
}

/** The chats that one may join. */
export async function openRooms(calls: Calls, search: string, limit: number): Promise<Room[]> {
  const asked = new URLSearchParams({ limit: String(limit), open: 'true', archived: 'false', ...(search ? { search } : {}) })
  return (await calls.call<RoomsPage>('GET', `/rooms?${asked}`)).rooms
}

/** The chat at a seq, with its newest messages then, or those before another seq. */
export function thenAt(calls: Calls, room: string, at: number, limit = PAGE_MESSAGES, before?: number): Promise<Page & { then: Then }> {
  const search = new URLSearchParams({ at: String(at), limit: String(limit), ...(before === undefined ? {} : { before: String(before) }) })
  return calls.call('GET', `${one(room)}/messages?${search}`)
}
