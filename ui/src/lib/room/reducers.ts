/**
 * What each kind of event changes: in the log of its room, and in the list of chats.
 *
 * A new kind is one more entry. A kind without one still counts: its seq was applied.
 */
import type { Message, Room, RoomEvent } from '../protocol'

/** What a reducer may do with the messages that are loaded. */
export interface Messages {
  add(message: Message): void
  change(id: string, change: (message: Message) => Message): void
  /** Fetches the message at `seq` again. */
  reload(seq: number): void
  rename(actor: string, name: string): void
  /** Whether the room is deleted. */
  delete(deleted: boolean): void
  /** Somebody came, went, or has another name or role. */
  members(): void
}

interface Reducer {
  log?: (messages: Messages, event: RoomEvent) => void
  list?: (room: Room, event: RoomEvent) => Partial<Room>
}

export const REDUCERS: Readonly<Record<string, Reducer>> = {
  'message.created': {
    log: (messages, { d }) => messages.add(d as unknown as Message),
    list: (room, { at }) => ({ active_at: room.active_at > at ? room.active_at : at }),
  },
  'message.deleted': {
    log: (messages, { d, at }) => messages.change(String(d.msg), (message) => ({ ...message, text: '', deleted_at: at })),
  },
  'message.restored': { log: (messages, { d }) => messages.reload(Number(d.seq)) },
  'member.joined': { log: (messages) => messages.members() },
  'member.left': { log: (messages) => messages.members() },
  'member.removed': { log: (messages) => messages.members() },
  'member.role': { log: (messages) => messages.members() },
  'member.renamed': {
    log: (messages, { d }) => {
      messages.rename(String(d.actor), String(d.name))
      messages.members()
    },
  },
  'room.renamed': { list: (_, { d }) => ({ title: String(d.title ?? '') }) },
  'room.archived': { list: (_, { at }) => ({ archived_at: at }) },
  'room.unarchived': { list: () => ({ archived_at: null }) },
  'room.transferred': { log: (messages) => messages.members() },
  'room.deleted': { log: (messages) => messages.delete(true) },
  'room.restored': { log: (messages) => messages.delete(false) },
}
