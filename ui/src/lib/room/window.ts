/**
 * Which of the loaded messages are on the page: a range of `seq` of bounded size that follows the reader.
 *
 * A range names messages, not positions, so older ones that are loaded or dropped do not move it. What has several
 * messages (an agent's run) is on the page with all of them or not at all.
 * Pure arithmetic; measuring, anchoring and scrolling are the list's work.
 */
export interface Range {
  from: number
  /** Infinity: to the newest message, whichever that will be. */
  to: number
}

export interface Slice {
  start: number
  end: number
}

interface Sequenced {
  readonly seq: number
  /** The seq of the last of its messages. */
  readonly last?: number
}

/** The most messages in the document at once. */
export const ROWS_MAX = 140
/** Messages that come in by one step: few, so that one frame can draw them. */
export const ROWS_STEP = 10
/** Messages at the first look. */
export const ROWS_FIRST = 30

export function newest(messages: readonly Sequenced[]): Range {
  return { from: messages[Math.max(0, messages.length - ROWS_FIRST)]?.seq ?? 0, to: Infinity }
}

export function around(messages: readonly Sequenced[], seq: number): Range {
  const index = lowerBound(messages, seq)
  const half = Math.floor(ROWS_FIRST / 2)
  const last = Math.min(messages.length, index + half) - 1
  return { from: messages[Math.max(0, index - half)]?.seq ?? 0, to: messages[last]?.seq ?? Infinity }
}

/**
 * The positions of a range, never more than ROWS_MAX of them. Where there would be more, a reader who
 * follows the newest messages loses the oldest ones; any other keeps what is before their eyes.
 */
export function slice(messages: readonly Sequenced[], range: Range, follows: boolean): Slice {
  const start = lowerBound(messages, range.from, (message) => message.last ?? message.seq)
  const end = range.to === Infinity ? messages.length : Math.max(start, lowerBound(messages, range.to + 1))
  if (end - start <= ROWS_MAX) return { start, end }
  return follows ? { start: end - ROWS_MAX, end } : { start, end: start + ROWS_MAX }
}

export function growUp(messages: readonly Sequenced[], range: Range, now: Slice): Range {
  const start = Math.max(0, now.start - ROWS_STEP)
  const from = messages[start]?.seq ?? range.from
  if (now.end - start <= ROWS_MAX) return { from, to: range.to }
  return { from, to: messages[start + ROWS_MAX - 1]!.seq }
}

/** `whole`: the last of these messages is the newest of the room, and what follows it is wanted too. */
export function growDown(messages: readonly Sequenced[], range: Range, now: Slice, whole: boolean): Range {
  const end = Math.min(messages.length, now.end + ROWS_STEP)
  const start = Math.max(now.start, end - ROWS_MAX)
  return {
    from: messages[start]?.seq ?? range.from,
    to: end === messages.length && whole ? Infinity : (messages[end - 1]?.seq ?? range.to),
  }
}

/** The position of the first message whose seq is not below. */
function lowerBound(messages: readonly Sequenced[], seq: number, of = (message: Sequenced): number => message.seq): number {
  let low = 0
  let high = messages.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (of(messages[middle]!) < seq) low = middle + 1
    else high = middle
  }
  return low
}
