/**
 * What each kind of event changes: in the log of its room, and in the list of chats.
 *
 * A new kind is one more entry. A kind without one still counts: its seq was applied.
 */
import type { Message, Reaction, Room, RoomEvent } from '../protocol'

/** What a reducer may do with the messages that are loaded. */
export interface Messages {
  add(message: Message): void
  change(id: string, change: (message: Message) => Message): void
  /** Fetches the message at `seq` again. */
  reload(seq: number): void
  rename(actor: string, name: string): void
  nameOf(actor: string): string | undefined
  /** What was said up to a seq is gone; null: some of it may be back. */
  clear(upto: number | null): void
  /** Whether the room is deleted. */
  delete(deleted: boolean): void
  /** Somebody came, went, or has another name or role. */
  members(): void
  /** Something was pinned, or is not any more. */
  pinned(): void
  /** It is told among the messages. */
  note(event: RoomEvent): void
}

interface Reducer {
  log?: (messages: Messages, event: RoomEvent) => void
  list?: (room: Room, event: RoomEvent) => Partial<Room>
}

/** Who is in the room, and as what. */
const CHANGED: Reducer = {
  log: (messages, event) => {
    if (event.d.deleted) messages.rename(String(event.d.actor), '')
    messages.note(event)
    messages.members()
  },
}

/** Somebody reacts to a message, or not any more. What a page told already counts once. */
const REACTED: Reducer = {
  log: (messages, { d, by, k }) => {
    const id = String(by)
    messages.change(String(d.msg), ({ reactions: before = [], ...message }) => {
      const kind: Reaction = before.find(({ emoji }) => emoji === d.emoji) ?? { emoji: String(d.emoji), count: 0, people: [] }
      const others = kind.people.filter((one) => one.id !== id)
      const known = others.length < kind.people.length
      const added = k === 'reaction.added'
      const count = added ? kind.count + (known ? 0 : 1) : kind.count - 1
      const people = !added ? others : known ? kind.people : [...others, { id, name: messages.nameOf(id) ?? '' }]
      const now = { ...kind, count, people }
      const reactions = (before.includes(kind) ? before.map((one) => (one === kind ? now : one)) : [...before, now]).filter((one) => one.count > 0)
      return reactions.length > 0 ? { ...message, reactions } : message
    })
  },
}

const PINNED: Reducer = {
  log: (messages, { d, k }) => {
    messages.change(String(d.msg), (message) => ({ ...message, pinned: k === 'message.pinned' }))
    messages.pinned()
  },
}

export const REDUCERS: Readonly<Record<string, Reducer>> = {
  'message.created': {
    log: (messages, { d }) => messages.add(d as unknown as Message),
    list: (room, { at }) => ({ hidden: false, active_at: room.active_at > at ? room.active_at : at }),
  },
  'message.edited': { log: (messages, { d }) => messages.change(String(d.msg), (known) => ({ ...known, ...(d.message as Message) })) },
  'message.deleted': {
    log: (messages, { d, at }) => messages.change(String(d.msg), (message) => ({ ...message, text: '', deleted_at: at })),
  },
  'message.restored': { log: (messages, { d }) => messages.reload(Number(d.seq)) },
  'message.pinned': PINNED,
  'message.unpinned': PINNED,
  'reaction.added': REACTED,
  'reaction.removed': REACTED,
  'member.joined': CHANGED,
  'member.left': CHANGED,
  'member.removed': CHANGED,
  'member.role': CHANGED,
  'member.speaks': CHANGED,
  'member.settings': CHANGED,
  'member.renamed': {
    log: (messages, { d }) => {
      messages.rename(String(d.actor), String(d.name))
      messages.members()
    },
  },
  'turn.refused': { log: (messages, event) => messages.note(event) },
  'branch.created': { list: (room, { d }) => ({ branches: Math.max(room.branches, Number(d.branch)) }) },
  'branch.main': { list: (_, { d }) => ({ main_branch: Number(d.branch) }) },
  'room.renamed': { list: (_, { d }) => ({ title: String(d.title ?? '') }) },
  'room.cleared': {
    log: (messages, event) => {
      messages.clear(Number(event.d.upto))
      messages.note(event)
    },
  },
  'room.uncleared': {
    log: (messages, event) => {
      messages.clear(null)
      messages.note(event)
    },
  },
  'room.archived': { log: (messages, event) => messages.note(event), list: (_, { at }) => ({ archived_at: at }) },
  'room.unarchived': { log: (messages, event) => messages.note(event), list: () => ({ archived_at: null }) },
  'room.transferred': CHANGED,
  'room.visibility': CHANGED,
  'room.deleted': { log: (messages) => messages.delete(true) },
  'room.restored': { log: (messages) => messages.delete(false) },
}
