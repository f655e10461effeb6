/**
 * What stands on the page, one row after the other: stored messages, then what the server keeps, what
 * waits to be sent, and what is being written. An answer takes its seq at its end, so it always stands
 * last until then. The person's own draft is the row of their outbox, at the draft's place.
 *
 * A row keeps its key from the outbox or the draft to the log and from the stream to the final message,
 * so that its place in the document stays the same.
 */
import type { OutboxEntry } from './outbox'
import type { Draft, Message } from './protocol'
import type { Stream } from './stream'
import { dayName, dayOf } from './time'

interface RowBase {
  key: string
  by: string
  name: string
  at: string
  own: boolean
  role: Message['role']
  /** The name of the day, where a new one begins. */
  day: string | null
  /** Same author as above, shortly after: no name and no avatar. */
  grouped: boolean
  /** The first message that this person has not seen. */
  firstNew: boolean
}

export type Row = RowBase &
  (
    | { kind: 'message'; message: Message }
    | { kind: 'pending'; entry: OutboxEntry }
    | { kind: 'draft'; draft: Draft }
    | { kind: 'stream'; stream: Stream }
  )

export interface RowInput {
  messages: readonly Message[]
  /** The message above the first one, if it is loaded. */
  previous: Message | undefined
  drafts: readonly Draft[]
  pending: readonly OutboxEntry[]
  streams: readonly Stream[]
  me: { id: string; name: string }
  /** The seq up to which everything was read when the room was opened. */
  readSeq: number | null
}

const GROUP_MS = 5 * 60_000

/** Answers that were asked for again are gone; what a person deleted leaves a mark. */
export function isShown(message: Message): boolean {
  return message.deleted_at === null || message.role === 'user'
}

export function buildRows(input: RowInput): Row[] {
  const rows: Row[] = []
  let previous: { by: string; at: string } | undefined = input.previous
  let newMarked = input.previous !== undefined && isNew(input.previous, input)
  const push = (row: Row): void => {
    if (!previous || dayOf(previous.at) !== dayOf(row.at)) row.day = dayName(row.at)
    const age = previous ? Date.parse(row.at) - Date.parse(previous.at) : Infinity
    row.grouped = !row.day && !row.firstNew && previous?.by === row.by && row.role === 'user' && age < GROUP_MS
    previous = row
    rows.push(row)
  }
  for (const message of input.messages) {
    const firstNew = !newMarked && isNew(message, input)
    newMarked ||= firstNew
    push({ ...ofMessage(message, input.me), firstNew })
  }
  for (const row of unstored(input)) push(row)
  for (const stream of input.streams) push(ofStream(stream))
  return rows
}

/** In the order in which the server will store it: what it keeps, then what it does not have yet. */
function unstored({ drafts, pending, me }: RowInput): Row[] {
  const waiting = new Map(pending.map((entry) => [entry.cid, entry]))
  const kept = drafts.map((draft) => {
    const entry = draft.by === me.id ? waiting.get(draft.cid) : undefined
    if (!entry) return ofDraft(draft, me)
    waiting.delete(entry.cid)
    return ofEntry(entry, me)
  })
  return [...kept, ...[...waiting.values()].map((entry) => ofEntry(entry, me))]
}

function isNew(message: Message, input: RowInput): boolean {
  return input.readSeq !== null && message.seq > input.readSeq && message.by !== input.me.id
}

function ofMessage(message: Message, me: { id: string }): Row {
  const own = message.by === me.id && message.role === 'user'
  return {
    kind: 'message', message, key: own && message.cid ? message.cid : message.id, own,
    by: message.by, name: message.name, at: message.at, role: message.role,
    day: null, grouped: false, firstNew: false,
  }
}

function ofDraft(draft: Draft, me: { id: string }): Row {
  const own = draft.by === me.id
  return {
    kind: 'draft', draft, key: own ? draft.cid : draft.msg, own, by: draft.by, name: draft.name, at: draft.at, role: 'user',
    day: null, grouped: false, firstNew: false,
  }
}

function ofEntry(entry: OutboxEntry, me: { id: string; name: string }): Row {
  return {
    kind: 'pending', entry, key: entry.cid, own: true, by: me.id, name: me.name, at: entry.at, role: 'user',
    day: null, grouped: false, firstNew: false,
  }
}

function ofStream(stream: Stream): Row {
  return {
    kind: 'stream', stream, key: stream.msg, own: false, by: stream.by, name: stream.name, at: stream.at,
    role: 'assistant', day: null, grouped: false, firstNew: false,
  }
}
