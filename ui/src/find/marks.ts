/** Where the words of a hit stand in a piece of its text. The server counts code points, and a script UTF-16. */
import type { Snippet } from '../lib/protocol'

export interface Piece {
  text: string
  hit: boolean
}

/** Words of a hit, and whether they begin and end where a word does. */
export interface Needle {
  text: string
  begins: boolean
  ends: boolean
}

const LETTER = /[\p{L}\p{N}\p{M}]/u

/** The text in pieces that are hits and pieces that are none. */
export function piecesOf({ text, ranges }: Snippet): Piece[] {
  const characters = [...text]
  const pieces: Piece[] = []
  let at = 0
  for (const [start = 0, end = 0] of ranges) {
    if (start > at) pieces.push({ text: characters.slice(at, start).join(''), hit: false })
    pieces.push({ text: characters.slice(Math.max(start, at), end).join(''), hit: true })
    at = end
  }
  if (at < characters.length) pieces.push({ text: characters.slice(at).join(''), hit: false })
  return pieces.filter((piece) => piece.text !== '')
}

/** The same from a little before its first hit, for a place where one line is all there is. */
export function nearFirst({ text, ranges }: Snippet, before: number): Snippet {
  const [first = 0] = ranges[0] ?? []
  const cut = first - before
  if (cut <= 1) return { text, ranges }
  return { text: `…${[...text].slice(cut).join('')}`, ranges: ranges.map((range) => range.map((at) => at - cut + 1)) }
}

export function needlesOf(snippet: Snippet): Needle[] {
  const pieces = piecesOf(snippet)
  return pieces.flatMap(({ text, hit }, index) => {
    if (!hit) return []
    const [before, after] = [pieces[index - 1]?.text ?? '', pieces[index + 1]?.text ?? '']
    return { text, begins: !LETTER.test([...before].at(-1) ?? ''), ends: !LETTER.test([...after][0] ?? '') }
  })
}
