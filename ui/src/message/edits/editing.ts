/** Which messages the person may edit, and which answers they got. */
import type { Message, MessageVersions, Room } from '../../lib/protocol'
import type { RoomLog } from '../../lib/room/room'
import type { Calls } from '../../lib/server/calls'

/** Whether the person may edit a message: their own words, and in a chat of theirs what agents said. */
export function mayEdit(room: Room | undefined, message: Message, me: string): boolean {
  const { by, became, role, kind, meta, deleted_at } = message
  if (!room || room.role === 'reader' || room.archived_at || deleted_at || kind !== 'text' || meta.parts) return false
  if (role !== 'user' && role !== 'assistant') return false
  return by === me || became === me || (room.role === 'owner' && role === 'assistant' && by.startsWith('a_'))
}

/** The person's last message that they may edit. */
export function lastOf(log: RoomLog, room: Room | undefined, me: string): Message | undefined {
  return log.messages.findLast((one) => one.by === me && mayEdit(room, one, me))
}

/** The answers to a message that can be asked for again: of each turn what came first. */
export function answersTo({ messages, begun }: Pick<RoomLog, 'messages' | 'begun'>, { id, seq }: Message): Message[] {
  const found = new Map<string, Message>()
  for (const one of messages) {
    const { turn, exchange } = one.meta
    if (one.role !== 'assistant' || one.deleted_at !== null || one.seq < seq || !turn || exchange || found.has(turn)) continue
    const asked = begun.get(turn)
    const above = messages.findLast((other) => other.role === 'user' && other.seq < one.seq)
    if (asked === undefined ? (one.reply_to ?? above?.id) === id : asked === seq) found.set(turn, one)
  }
  return [...found.values()]
}

export function historyOf(api: Calls, room: string, message: string): Promise<MessageVersions> {
  return api.call('GET', `/rooms/${encodeURIComponent(room)}/messages/${encodeURIComponent(message)}/history`)
}
