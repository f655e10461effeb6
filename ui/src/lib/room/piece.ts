/** A stretch of a room's messages without a gap, and where it can be continued. Older first. */
import type { Message, Page } from '../protocol'

export interface Piece {
  messages: Message[]
  before: number | null
  /** Null in the tail, which ends at the newest message. */
  after: number | null
}

export function addOlder(piece: Piece, page: Page): void {
  const first = piece.messages[0]?.seq ?? Infinity
  piece.messages = [...page.messages.filter((message) => message.seq < first), ...piece.messages]
  piece.before = page.before
}

export function addNewer(piece: Piece, page: Page): void {
  const last = piece.messages.at(-1)?.seq ?? -1
  piece.messages = [...piece.messages, ...page.messages.filter((message) => message.seq > last)]
  piece.after = page.after
}

/** The last `count` messages, to which older ones can be loaded again. */
export function newestOf(piece: Piece, count: number): Piece {
  if (piece.messages.length <= count) return { ...piece }
  const messages = piece.messages.slice(-count)
  return { messages, before: messages[0]?.seq ?? null, after: null }
}

/** Keeps the first `count` messages; newer ones can be loaded again. */
export function dropNewer(piece: Piece, count: number): void {
  piece.messages = piece.messages.slice(0, count)
  piece.after = piece.messages.at(-1)?.seq ?? null
}

/** Whether the place of `seq` lies inside the stretch. */
export function covers(piece: Piece, seq: number): boolean {
  const first = piece.messages[0]
  const last = piece.messages.at(-1)
  if (!first || !last) return false
  const reaches = piece.after === null || seq <= last.seq
  return reaches && (seq >= first.seq || piece.before === null)
}
