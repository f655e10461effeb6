/** The calls of REST about a server as a whole: what its answers used, its chats, and what happened in them. */
import type { Calls } from './calls'
import type { Budget, Budgets, Events, OverseenRooms, Report, RoomEvent, SeenEvents } from '../protocol'

export type UsedBy = 'model' | 'person' | 'agent' | 'day'

const DAY_MS = 86_400_000

/** What was used in the last days: of everybody, or one's own. */
export function usage(calls: Calls, { all, days, by }: { all: boolean; days: number; by: UsedBy }): Promise<Report> {
  const from = new Date(Date.now() - (days - 1) * DAY_MS).toISOString().slice(0, 10)
  return calls.call('GET', `${all ? '' : '/me'}/usage?${new URLSearchParams({ from, by })}`)
}

/** A budget as it is set; with neither bound there is none any more. */
export type Bound = Pick<Budget, 'kind' | 'of' | 'period' | 'tokens' | 'cost_micros'>

/** All budgets, or those of one's own answers. */
export async function budgets(calls: Calls, all: boolean): Promise<Budget[]> {
  return (await calls.call<Budgets>('GET', all ? '/budgets' : '/me/budgets')).budgets
}

/** All budgets then. */
export async function setBudget(calls: Calls, bound: Bound): Promise<Budget[]> {
  return (await calls.call<Budgets>('PUT', '/budgets', bound)).budgets
}

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
