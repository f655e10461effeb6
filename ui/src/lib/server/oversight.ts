/** The calls of REST about all chats of a server: which there are, and what happened in them. */
import type { Calls } from './calls'
import type { Events, OverseenRooms, RoomEvent, SeenEvents } from '../protocol'

/** The last active first; `deleted`: those that are. `search`: in titles that one may see. */
export function allRooms(calls: Calls, { search, deleted, cursor }: { search: string; deleted: boolean; cursor: string | null }): Promise<OverseenRooms> {
  const asked = new URLSearchParams({ limit: '50', ...(search && { search }), ...(deleted && { deleted: 'true' }), ...(cursor !== null && { cursor }) })
  return calls.call('GET', `/admin/rooms?${asked}`)
}

/** What happened last, in all chats or in one; there also before a seq. */
export function seenEvents(calls: Calls, { room, type, before }: { room: string | null; type: string; before?: number }): Promise<SeenEvents> {
  const asked = new URLSearchParams({ limit: '100', ...(room !== null && { room }), ...(type && { type }), ...(before !== undefined && { before: String(before) }) })
  return calls.call('GET', `/admin/events?${asked}`)
}

/** What an event was, where one may read it. */
export async function eventAt(calls: Calls, room: string, seq: number): Promise<RoomEvent | undefined> {
  return (await calls.call<Events>('GET', `/rooms/${encodeURIComponent(room)}/events?after=${seq - 1}&limit=1`)).events[0]
}
