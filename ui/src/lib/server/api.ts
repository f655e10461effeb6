/**
 * The REST door: one method per call that the chats make. What is seldom asked has its calls beside it.
 */
import { Calls } from './calls'
import type { MemberList, Models, Notices, Own, Page, Room } from '../protocol'

export interface RoomsPage {
  rooms: Room[]
  next: string | null
}

/** `hidden`, `archived`: those alone; `archived` false: without them. */
export interface RoomsQuery {
  limit: number
  cursor?: string | null
  search?: string
  deleted?: boolean
  hidden?: boolean
  archived?: boolean
  pinned?: boolean
}

const MEMBERS = 100

export class Api extends Calls {
  me(): Promise<Own> {
    return this.call('GET', '/me')
  }

  change(wanted: { name?: string; preferences?: Own['preferences'] }): Promise<Own> {
    return this.call('PATCH', '/me', wanted)
  }

  models(): Promise<Models> {
    return this.call('GET', '/models')
  }

  rooms(query: RoomsQuery): Promise<RoomsPage> {
    const search = new URLSearchParams({ limit: String(query.limit) })
    if (query.cursor) search.set('cursor', query.cursor)
    if (query.search) search.set('search', query.search)
    for (const one of ['deleted', 'hidden', 'archived', 'pinned'] as const) if (query[one] !== undefined) search.set(one, String(query[one]))
    return this.call('GET', `/rooms?${search}`)
  }

  createRoom(title?: string): Promise<Room> {
    return this.call('POST', '/rooms', title ? { title } : {})
  }

  room(id: string): Promise<Room> {
    return this.call('GET', `/rooms/${encodeURIComponent(id)}`)
  }

  deleteRoom(id: string): Promise<void> {
    return this.call('DELETE', `/rooms/${encodeURIComponent(id)}`)
  }

  restoreRoom(id: string): Promise<Room> {
    return this.call('POST', `/rooms/${encodeURIComponent(id)}/restore`)
  }

  /** Messages of a room, oldest first; at most one of the three places. */
  messages(id: string, place: { before?: number; after?: number; around?: number }, limit: number, branch?: number): Promise<Page> {
    const search = new URLSearchParams({ limit: String(limit) })
    for (const [name, one] of Object.entries({ ...place, branch })) if (one !== undefined) search.set(name, String(one))
    return this.call('GET', `/rooms/${encodeURIComponent(id)}/messages?${search}`)
  }

  /** Who is in a room: owners first, then moderators, members and readers. */
  members(id: string, cursor: string | null): Promise<MemberList> {
    const search = new URLSearchParams({ limit: String(MEMBERS), ...(cursor === null ? {} : { cursor }) })
    return this.call('GET', `/rooms/${encodeURIComponent(id)}/members?${search}`)
  }

  /** What is told among the messages between two seqs. */
  notices(id: string, after: number, before: number): Promise<Notices> {
    return this.call('GET', `/rooms/${encodeURIComponent(id)}/notices?after=${after}&before=${before}`)
  }

  /** A call that writes nothing and always fails: with what the server has against this page, if there is something. */
  probe(): Promise<never> {
    return this.call('POST', '/me')
  }
}
