/**
 * Where mathematics begins and ends in Markdown: `$…$`, `$$…$$`, `\(…\)`, `\[…\]`.
 *
 * Rules for the single dollar, so that prices stay prices: no space just inside, nothing but an ordinal
 * ending or no word character just after, on one line, the next dollar closes or nothing does, and what
 * starts like an amount followed by words is an amount. Display mathematics never spans an empty line
 * (TeX forbids it too), so that a streamed text cannot change blocks that were already finished.
 */

export interface MathSpan {
  /** The whole source with its delimiters. */
  raw: string
  tex: string
  display: boolean
}

const INLINE_CHARS_MAX = 2_000
const DISPLAY_CHARS_MAX = 10_000
const AFTER_CLOSING = /^(?:(?:st|nd|rd|th|s|d)\b|[^\p{L}\p{N}_$]|$)/u
const PRICE = /^[\d.,]+(?:[–-]\d[\d.,]*)?\s*(?:\(|\/|[a-zA-Z]{2,}|[^\\^_={}+*<>]*\s[a-zA-Z]{2,})/
const BLOCK_OPENING = /^ {0,3}(\$\$|\\\[)/
/** The first of: an empty line, or a line on which display mathematics may begin. */
const BLOCK_START = /\n(?:[ \t]*\n|( {0,3})(?:\$\$|\\\[))/g
/** Further down in one paragraph, display mathematics is still found, but as part of its lines. */
const PARAGRAPH_CHARS_SEARCHED = 2_000
/** Lines of one paragraph that are tried as a beginning. */
const CANDIDATES_MAX = 100
const EMPTY_LINE = /\n[ \t]*\n/

/** The mathematics that begins at the first character, if any. */
export function inlineMathAt(source: string): MathSpan | null {
  if (source.startsWith('$$')) return enclosed(source, '$$', '$$', true, DISPLAY_CHARS_MAX)
  if (source.startsWith('$')) return dollarMath(source)
  if (source.startsWith('\\(')) return enclosed(source, '\\(', '\\)', false, INLINE_CHARS_MAX)
  if (source.startsWith('\\[')) return enclosed(source, '\\[', '\\]', true, DISPLAY_CHARS_MAX)
  return null
}

/** Index of the next place where inline mathematics may begin, or -1. */
export function nextInlineMath(source: string): number {
  return source.search(/(?<![\w$\\])\$|\\[([]/)
}

/**
 * Display mathematics that stands alone on its lines. `open` accepts one whose end has not come yet.
 */
export function blockMathAt(source: string, open: boolean): (MathSpan & { closed: boolean }) | null {
  const delimiter = BLOCK_OPENING.exec(source)
  if (delimiter?.[1] === undefined) return null
  const closing = delimiter[1] === '$$' ? '$$' : '\\]'
  const start = delimiter[0].length
  const window = source.slice(start, start + DISPLAY_CHARS_MAX)
  const end = window.indexOf(closing)
  const body = end === -1 ? window : window.slice(0, end)
  if (end === -1) {
    const reachesEnd = start + window.length === source.length
    if (!open || !reachesEnd || EMPTY_LINE.test(body)) return null
    return { raw: source, tex: body, display: true, closed: false }
  }
  if (EMPTY_LINE.test(body)) return null
  const rest = /^[ \t]*(?:\n|$)/.exec(source.slice(start + end + closing.length, start + end + 200))
  if (rest === null || body.trim() === '') return null
  return { raw: source.slice(0, start + end + closing.length + rest[0].length), tex: body.trim(), display: true, closed: true }
}

/** Index of the next line of this paragraph on which display mathematics begins, or -1. */
export function nextBlockMath(source: string, open: boolean): number {
  const near = source.slice(0, PARAGRAPH_CHARS_SEARCHED)
  if (!near.includes('$$') && !near.includes('\\[')) return -1
  let from = 0
  for (let tried = 0; tried < CANDIDATES_MAX; tried += 1) {
    BLOCK_START.lastIndex = from
    const match = BLOCK_START.exec(near)
    if (match?.[1] === undefined) return -1
    from = match.index + 1
    if (blockMathAt(source.slice(from), open) !== null) return from
  }
  return -1
}

function dollarMath(source: string): MathSpan | null {
  const window = source.slice(0, INLINE_CHARS_MAX)
  const match = /^\$((?:\\[^\n]|[^$`\\\n])+)\$/.exec(window)
  const tex = match?.[1]
  if (match === null || tex === undefined || /^\s|\s$/.test(tex)) return null
  if (!AFTER_CLOSING.test(source.slice(match[0].length, match[0].length + 8))) return null
  if (PRICE.test(tex)) return null
  return { raw: match[0], tex, display: false }
}

function enclosed(source: string, opening: string, closing: string, display: boolean, charsMax: number): MathSpan | null {
  const window = source.slice(opening.length, opening.length + charsMax)
  const end = window.indexOf(closing)
  if (end <= 0) return null
  const body = window.slice(0, end)
  if (EMPTY_LINE.test(body) || body.trim() === '') return null
  return { raw: source.slice(0, opening.length + end + closing.length), tex: body.trim(), display }
}
