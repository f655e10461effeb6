/** Who may do what, as far as the server has told it: only what it surely refuses is not offered. */
import type { Room } from '../protocol'

/** Whether the person may name and delete a room: their own. */
export function mayChange(room: Room | undefined): boolean {
  return room?.role === 'owner'
}

/** Whether the person may stop an answer or ask for it again; `askedBy`: who asked for it, if that is known. */
export function mayTakeBack(room: Room | undefined, askedBy: string | null, me: string): boolean {
  if (!room || room.role === 'owner') return true
  if (room.role === 'reader') return false
  // A program asks in the name of its key, which its words do not tell.
  return room.door !== null || askedBy === null || askedBy === me
}
