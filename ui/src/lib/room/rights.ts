/** Who may do what, as far as the server has told it: only what it surely refuses is not offered. */
import type { Room } from '../protocol'

/** Whether the person may delete a room, and say who leads it: their own. */
export function mayGovern(room: Room | undefined): boolean {
  return room?.role === 'owner'
}

/** Whether the person may name a room. */
export function mayName(room: Room | undefined): boolean {
  return room?.role === 'owner' || room?.role === 'moderator'
}

/** Whether a room belongs to nobody in particular, and everyone is in it; one that its owner opened has members. */
export function isEveryones(room: Room | undefined): boolean {
  return room?.visibility === 'open' && !room.open_to
}

/** Whether the person may bring others into a room; where everyone is in already, there is nobody to bring. */
export function mayInvite(room: Room | undefined): boolean {
  return mayName(room) && !isEveryones(room)
}

/** Whether the person may stop an answer or ask for it again; `askedBy`: who asked for it, if that is known. */
export function mayTakeBack(room: Room | undefined, askedBy: string | null, me: string): boolean {
  if (!room || mayName(room)) return true
  if (room.role === 'reader') return false
  // A program asks in the name of its key, which its words do not tell.
  return room.door !== null || askedBy === null || askedBy === me
}
