/** The calls of REST about links by which others make accounts here. */
import type { Calls } from './calls'
import type { InvitationPage, MadeInvitation } from '../protocol'

/** Links to the server: as what, into which chats, for how many (null: any number), and how long. */
export interface ServerOffer {
  role: 'person' | 'admin'
  rooms: string[]
  uses: number | null
  days: number
}

export function serverInvitations(calls: Calls, cursor: string | null): Promise<InvitationPage> {
  return calls.call('GET', `/invitations${cursor === null ? '' : `?cursor=${cursor}`}`)
}

/** An invitation; its address is told this once. */
export function inviteToServer(calls: Calls, offer: ServerOffer): Promise<MadeInvitation> {
  return calls.call('POST', '/invitations', offer)
}

export function revokeToServer(calls: Calls, id: string): Promise<void> {
  return calls.call('DELETE', `/invitations/${encodeURIComponent(id)}`)
}
