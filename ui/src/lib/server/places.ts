/** The calls of REST about who finds a chat and where it stands, made by what is loaded when it is first looked at. */
import type { RoomsPage } from './api'
import type { Calls } from './calls'
import type { OpenTo, Room } from '../protocol'

const one = (room: string): string => `/rooms/${encodeURIComponent(room)}`

/** To whom a chat is open, and as what they are there. */
export interface Openness {
  open_to: OpenTo
  open_role: 'reader' | 'member'
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
