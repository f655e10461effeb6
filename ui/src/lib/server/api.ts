/**
 * The REST door: one method per call that the chats make. What is seldom asked has its calls beside it.
 */
import { Calls } from './calls'
import type { Device, Exchange, Key, Link, Me, MemberList, Models, Page, Room } from '../protocol'

export interface RoomsPage {
  rooms: Room[]
  next: string | null
}

const MEMBERS = 100

export class Api extends Calls {
  me(): Promise<Me> {
    return this.call('GET', '/me')
  }

  rename(name: string): Promise<Me> {
    return this.call('PATCH', '/me', { name })
  }

  async keys(): Promise<Key[]> {
    return (await this.call<{ keys: Key[] }>('GET', '/keys')).keys
  }

  /** A key of one's own, and its token, which is told this once. */
  /** `unstored`: what its programs ask not to be kept is kept all the same. */
  createKey(unstored: boolean): Promise<{ token: string; key: Key }> {
    return this.call('POST', '/keys', unstored ? { scopes: ['keep_unstored'] } : undefined)
  }

  revokeKey(id: string): Promise<void> {
    return this.call('DELETE', `/keys/${encodeURIComponent(id)}`)
  }

  devices(): Promise<{ devices: Device[]; link: Link | null }> {
    return this.call('GET', '/devices')
  }

  /** A link that adds a device, once; its address is told this once. */
  createLink(): Promise<{ url: string; link: Link }> {
    return this.call('POST', '/devices')
  }

  /** Ends a device, or a link. */
  endDevice(id: string): Promise<void> {
    return this.call('DELETE', `/devices/${encodeURIComponent(id)}`)
  }

  models(): Promise<Models> {
    return this.call('GET', '/models')
  }

  rooms(query: { limit: number; cursor?: string | null; search?: string; deleted?: boolean }): Promise<RoomsPage> {
    const search = new URLSearchParams({ limit: String(query.limit) })
    if (query.cursor) search.set('cursor', query.cursor)
    if (query.search) search.set('search', query.search)
    if (query.deleted) search.set('deleted', 'true')
    return this.call('GET', `/rooms?${search}`)
  }

  createRoom(title?: string): Promise<Room> {
    return this.call('POST', '/rooms', title ? { title } : {})
  }

  room(id: string): Promise<Room> {
    return this.call('GET', `/rooms/${encodeURIComponent(id)}`)
  }

  renameRoom(id: string, title: string): Promise<Room> {
    return this.call('PATCH', `/rooms/${encodeURIComponent(id)}`, { title })
  }

  deleteRoom(id: string): Promise<void> {
    return this.call('DELETE', `/rooms/${encodeURIComponent(id)}`)
  }

  restoreRoom(id: string): Promise<Room> {
    return this.call('POST', `/rooms/${encodeURIComponent(id)}/restore`)
  }

  /** In an archived room nothing more is said. */
  archiveRoom(id: string, archived: boolean): Promise<Room> {
    return this.call('POST', `/rooms/${encodeURIComponent(id)}/${archived ? 'archive' : 'unarchive'}`)
  }

  /** Messages of a room, oldest first; exactly one of the three places. */
  messages(id: string, place: { before?: number; after?: number; around?: number }, limit: number): Promise<Page> {
    const search = new URLSearchParams({ limit: String(limit) })
    for (const [name, seq] of Object.entries(place)) search.set(name, String(seq))
    return this.call('GET', `/rooms/${encodeURIComponent(id)}/messages?${search}`)
  }

  /** Who is in a room: owners first, then moderators, members and readers. */
  members(id: string, cursor: string | null): Promise<MemberList> {
    const search = new URLSearchParams({ limit: String(MEMBERS), ...(cursor === null ? {} : { cursor }) })
    return this.call('GET', `/rooms/${encodeURIComponent(id)}/members?${search}`)
  }

  exchange(id: string): Promise<Exchange> {
    return this.call('GET', `/exchanges/${encodeURIComponent(id)}`)
  }

  /** A call that writes nothing and always fails: with what the server has against this page, if there is something. */
  probe(): Promise<never> {
    return this.call('POST', '/me')
  }
}
