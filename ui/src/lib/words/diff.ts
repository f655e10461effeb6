/** What differs between two texts, word by word. */

export interface Piece {
  kind: 'same' | 'added' | 'removed'
  text: string
}

/** So many steps at most; two texts that are further apart differ as wholes. */
const CELLS_MAX = 4_000_000

export function differences(before: string, after: string): Piece[] {
  const [old, now] = [wordsOf(before), wordsOf(after)]
  let start = 0
  while (start < old.length && start < now.length && old[start] === now[start]) start++
  let end = 0
  while (end < old.length - start && end < now.length - start && old.at(-1 - end) === now.at(-1 - end)) end++
  const middle = between(old.slice(start, old.length - end), now.slice(start, now.length - end))
  const whole: Piece[] = [same(old.slice(0, start)), ...middle, same(old.slice(old.length - end))]
  return joined(whole)
}

/** Numbers, words, the space between them, and each other sign by itself: put together again they are the text. */
function wordsOf(text: string): string[] {
  return text.match(/\p{N}+(?:[.,]\p{N}+)*|[\p{L}\p{M}\p{N}_]+|\s+|[^\p{L}\p{M}\p{N}_\s]/gu) ?? []
}

const same = (words: readonly string[]): Piece => ({ kind: 'same', text: words.join('') })

/** By the longest row of words that both have. */
function between(old: readonly string[], now: readonly string[]): Piece[] {
  const width = now.length + 1
  if (old.length * now.length > CELLS_MAX || old.length === 0 || now.length === 0) {
    return [{ kind: 'removed', text: old.join('') }, { kind: 'added', text: now.join('') }]
  }
  const common = new Uint16Array((old.length + 1) * width)
  for (let i = old.length - 1; i >= 0; i--) {
    for (let j = now.length - 1; j >= 0; j--) {
      common[i * width + j] =
        old[i] === now[j] ? common[(i + 1) * width + j + 1]! + 1 : Math.max(common[(i + 1) * width + j]!, common[i * width + j + 1]!)
    }
  }
  const pieces: Piece[] = []
  let [i, j] = [0, 0]
  while (i < old.length || j < now.length) {
    if (i < old.length && j < now.length && old[i] === now[j]) {
      pieces.push({ kind: 'same', text: old[i++]! })
      j++
    } else if (j === now.length || (i < old.length && common[(i + 1) * width + j]! >= common[i * width + j + 1]!)) {
      pieces.push({ kind: 'removed', text: old[i++]! })
    } else {
      pieces.push({ kind: 'added', text: now[j++]! })
    }
  }
  return pieces
}

/** Neighbours of a kind as one; a space alone between two changes belongs to them, so that they are read as one. */
function joined(pieces: readonly Piece[]): Piece[] {
  const made: Piece[] = []
  let [removed, added] = ['', '']
  const flush = (): void => {
    if (removed) made.push({ kind: 'removed', text: removed })
    if (added) made.push({ kind: 'added', text: added })
    removed = added = ''
  }
  pieces.forEach(({ kind, text }, index) => {
    const inside = /^[^\S\n]+$/.test(text) && (removed || added) && pieces[index + 1] !== undefined && pieces[index + 1]!.kind !== 'same'
    if (kind === 'removed' || (kind === 'same' && inside)) removed += text
    if (kind === 'added' || (kind === 'same' && inside)) added += text
    if (kind !== 'same' || inside || !text) return
    flush()
    const last = made.at(-1)
    if (last?.kind === 'same') last.text += text
    else made.push({ kind, text })
  })
  flush()
  return made
}
