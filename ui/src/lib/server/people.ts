/** The calls of REST about who is in a room, made by the panel of people and by the page that an invitation opens. */
import type { Calls } from './calls'
import type { Invitation, Invitations, Invited, Joined, KnownPeople, MadeInvitation, Me, Member, MemberRole, Room } from '../protocol'

const one = (room: string): string => `/rooms/${encodeURIComponent(room)}`
const member = (room: string, actor: string): string => `${one(room)}/members/${encodeURIComponent(actor)}`

/** How long an invitation is good, for how many (null: any number), and what they may do. */
export interface Offer {
  role: 'member' | 'reader'
  uses: number | null
  days: number
}

/** The people with whom one shares chats; with `handle`: who has that one. */
export async function knownPeople(calls: Calls, handle?: string): Promise<Me[]> {
  const asked = handle === undefined ? '' : `?handle=${encodeURIComponent(handle)}`
  return (await calls.call<KnownPeople>('GET', `/me/people${asked}`)).people
}

/** Who is added sees all that was said. */
export function add(calls: Calls, room: string, actor: string): Promise<Member> {
  return calls.call('POST', `${one(room)}/members`, { actor })
}

/** Gives the room away, and stays as a moderator. */
export function transfer(calls: Calls, room: string, actor: string): Promise<Room> {
  return calls.call('POST', `${one(room)}/transfer`, { actor })
}

export function setRole(calls: Calls, room: string, actor: string, role: MemberRole): Promise<Member> {
  return calls.call('PATCH', member(room, actor), { role })
}

/** Takes somebody out, and keeps them out until they are added again; oneself: leaves. */
export function remove(calls: Calls, room: string, actor: string): Promise<void> {
  return calls.call('DELETE', member(room, actor))
}

/** An invitation; its address is told this once. */
export function invite(calls: Calls, room: string, offer: Offer): Promise<MadeInvitation> {
  return calls.call('POST', `${one(room)}/invitations`, offer)
}

export async function invitations(calls: Calls, room: string): Promise<Invitation[]> {
  return (await calls.call<Invitations>('GET', `${one(room)}/invitations`)).invitations
}

export function revoke(calls: Calls, room: string, invitation: string): Promise<void> {
  return calls.call('DELETE', `${one(room)}/invitations/${encodeURIComponent(invitation)}`)
}

/** Where an invitation leads, and who this browser is already. */
export function lookAt(calls: Calls, token: string): Promise<Invited> {
  return calls.call('POST', '/invitations/look', { token })
}

/** Uses an invitation; `name`: of who is nobody here yet. */
export function join(calls: Calls, token: string, name: string | null): Promise<Joined> {
  return calls.call('POST', '/invitations/join', name === null ? { token } : { token, name })
}
