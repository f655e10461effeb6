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

/** What stands in signs of Markdown: blocks and spans of code, the words of links, and words that are emphasized. */
const SIGNS = new RegExp(
  [
    /^(?<quote>(?: {0,3}> ?)*)[ \t]*(?<fence>`{3,}|~{3,})[^\n]*\n(?<block>[^]*?)(?:^\k<quote>[ \t]*\k<fence>[ \t]*$|$(?![^]))/u,
    /(?<ticks>`+)(?!`)(?<code>[^\n]*?[^`\n])\k<ticks>(?!`)/u,
    /!?\[(?<link>[^\]\n]+)\]\([^()\s]*(?: "[^"\n]*")?\)/u,
    /^ {0,3}(?:#{1,6} |> ?)+/u,
    /(?<stars>\*{1,3}|~~)(?=[^\s*])(?<strong>[^\n]*?[^\s*])\k<stars>(?!\*)/u,
    /(?<![\p{L}\p{N}_])(?<lines>_{1,3})(?=[^\s_])(?<stressed>[^\n]*?[^\s_])\k<lines>(?![\p{L}\p{N}_])/u,
    // What a cut parted: of a link whose address goes on, before words that do, and behind words that began earlier.
    /!?\[(?<cut>[^\]\n]+)\]\([^()\s]*(?=…$(?![^]))/u,
    /(?<![\p{L}\p{N}])(?:\*{1,3}|~~|`+|_{1,3})(?=[\p{L}\p{N}][^\n]*…$(?![^]))/u,
    /(?<=(?<![^])…[^\n]*\S)(?:\*{2,3}|~~|`+)(?![\p{L}\p{N}*`])/u,
  ].map(({ source }) => source).join('|'),
  'gmu',
)

/** The same of lines of code that are quoted. */
function quotesIn(text: string, from: number): [number, number][] {
  return [...text.matchAll(/^(?: {0,3}> ?)+/gm)].map(({ 0: all, index }) => [from + index, from + index + all.length])
}

/** Where such signs stand in a text, in units of a script, but for those that are `meant`. */
function signsIn(text: string, from: number, meant: (start: number, end: number) => boolean): [number, number][] {
  return [...text.matchAll(SIGNS)].flatMap(({ 0: all, index, groups = {} }): [number, number][] => {
    const { block, code } = groups
    const kept = block ?? code ?? groups.link ?? groups.cut ?? groups.strong ?? groups.stressed ?? ''
    const before = block !== undefined ? all.indexOf('\n') + 1 : kept === '' ? all.length : all.indexOf(kept, (groups.ticks ?? groups.stars ?? groups.lines ?? '[').length)
    const start = from + index + before
    const own: [number, number][] = [[from + index, start], [start + kept.length, from + index + all.length]]
    const within = groups.quote ? quotesIn(kept, start) : block ?? code ?? '' ? [] : signsIn(kept, start, meant)
    return own.some(([at, end]) => meant(at, end)) ? within : [...own, ...within]
  })
}

/** The same in plain words. Signs of Markdown stay where they are what was looked for. */
export function plain({ text, ranges }: Snippet): Snippet {
  const characters = [...text]
  const units = [0]
  for (const character of characters) units.push(units.at(-1)! + character.length)
  const hits = ranges.map(([start = 0, end = 0]) => [units[start]!, units[end]!] as const)
  /** A hit goes on behind signs within it; one that begins or ends in them means them. */
  const signs = signsIn(text, 0, (at, end) => hits.some(([first, last]) => first < end && at < last && !(first < at && end < last)))
  const counts = [0]
  const kept = characters.filter((_, at) => {
    const stays = !signs.some(([start, end]) => start <= units[at]! && units[at]! < end)
    counts.push(counts.at(-1)! + Number(stays))
    return stays
  })
  return { text: kept.join(''), ranges: ranges.map((range) => range.map((at) => counts[at]!)) }
}

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
