/**
 * What the renderer is willing to work on.
 *
 * A model writes whatever it likes, also fifty thousand brackets. Markdown's grammar has corners where
 * work grows with the square of the length, and a browser cannot interrupt a running expression, so the
 * decision falls before the work: what looks too hard is shown as plain text, complete and at once.
 */

/** A message longer than this is shown plain as a whole. */
export const TEXT_CHARS_MAX = 200_000

/** A message of more blocks than this is shown plain as a whole. */
export const BLOCKS_MAX = 3_000

/** A block that is not code is shown plain beyond this. */
export const BLOCK_CHARS_MAX = 50_000

/** Lists and quotes nest this deep; deeper markers stay text. */
export const NESTING_MAX = 12

/** Lines of one list; each is several elements. */
export const LIST_LINES_MAX = 1_500

/** Cells of one table, counting those its header adds to short rows. */
export const TABLE_CELLS_MAX = 3_000

/** Reference definitions of one message that are followed. */
export const REFERENCES_MAX = 200

/** HTML of one block; beyond it the block is shown plain. */
export const HTML_CHARS_MAX = 1_000_000

/** Elements of one block; beyond it the block is shown plain, code without its colours. */
export const ELEMENTS_MAX = 6_000

/** One character of the inline grammar, again and again, is no Markdown anyone wrote to be read. */
const LONG_RUN = /([[\]!*_`~$<|\\&(:@])\1{199}/

/** Characters at which the inline grammar tries something. */
const DELIMITERS = /[[\]!*_`~$<\\]|https?:|www\.|@/g

/** Delimiters times characters: above it, trying them all could take longer than a frame. */
const INLINE_WORK_MAX = 20_000_000

/** Where one inline text surely ends and the next begins. */
const RUN_BREAK = /\n(?:[ \t]*\n| {0,3}[-*+] )/

/** Says whether a block (not code) is too long or too dense to be taken apart. */
export function isTooHard(raw: string, type: string): boolean {
  if (raw.length > BLOCK_CHARS_MAX || LONG_RUN.test(raw)) return true
  if (raw.length < 2_000) return false
  if (type === 'list' && (raw.match(/\n/g)?.length ?? 0) > LIST_LINES_MAX) return true
  let work = 0
  for (const run of raw.split(type === 'table' ? '\n' : RUN_BREAK)) {
    work += (run.match(DELIMITERS)?.length ?? 0) * run.length
  }
  return work > INLINE_WORK_MAX
}

/** Says whether a text is too long, or in too many pieces, to be read at all. */
export function isTooLong(text: string): boolean {
  if (text.length > TEXT_CHARS_MAX) return true
  return text.length > BLOCKS_MAX && (text.match(/\n[ \t]*\n/g)?.length ?? 0) > BLOCKS_MAX
}

/** Says whether HTML that we wrote is more than a page can take in one piece. */
export function isTooMuch(html: string): boolean {
  return html.length > HTML_CHARS_MAX || (html.length > ELEMENTS_MAX && (html.match(/<\w/g)?.length ?? 0) > ELEMENTS_MAX)
}
