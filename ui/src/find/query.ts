/**
 * The operators of a search: read out of what is written, and written into it.
 *
 * They are told from words as the server does it (core/search/query.py): an operator whose value is none of its is a
 * word as it stands, and so is one behind a minus.
 */
import { BASE } from '../lib/server/base'

export type Key = 'in' | 'from' | 'before' | 'after' | 'on' | 'has'

export interface Operator {
  key: Key
  value: string
}

interface Placed extends Operator {
  start: number
  end: number
}

export const TRAITS = ['link', 'code', 'file', 'tool', 'thought', 'reaction'] as const

const QUOTES = /[\u201c\u201d\u201e\u201f\u00ab\u00bb\uff02]/g
const ITEM = /(-(?=[^\s-]))?(?:([A-Za-z]+):(?:"([^"]*)"?|([^\s"]+))|"[^"]*"?|[^\s"]+)/g
const AGO = /^(?:\d{1,4}[dw]|today|yesterday)$/i
const DATE = /^(?!0000)\d{4}(?:-\d\d){0,2}$/
const IS: Record<Key, (value: string) => boolean> = {
  in: (value) => value !== '',
  from: (value) => value !== '',
  before: isDate,
  after: isDate,
  on: isDate,
  has: (value) => TRAITS.some((trait) => trait === value.toLowerCase()),
}

/** A day, month or year that there is; a day too many would be one of the next month. */
function isDate(value: string): boolean {
  const day = DATE.test(value) ? new Date(value) : null
  return AGO.test(value) || (day !== null && !Number.isNaN(day.getTime()) && day.toISOString().startsWith(value))
}

function placed(query: string): Placed[] {
  const found: Placed[] = []
  for (const { 0: item, 1: no, 2: name = '', 3: quoted, 4: word = '', index } of query.replace(QUOTES, '"').matchAll(ITEM)) {
    const [key, value] = [name.toLowerCase(), quoted?.trim() ?? word]
    if (!no && isKey(key) && IS[key](value)) found.push({ key, value, start: index, end: index + item.length })
  }
  return found
}

/** An operator, also where its value is not written out yet. */
const OPERATOR = /^(?:in|from|before|after|on|has|is)$/i
const QUERY_MAX = 500

const isKey = (name: string): name is Key => Object.hasOwn(IS, name)

/** Those with these names, in their order. */
export function operatorsOf(query: string, ...keys: Key[]): Operator[] {
  return placed(query).filter(({ key }) => keys.includes(key)).map(({ key, value }) => ({ key, value }))
}

/** The same with these operators in the place of all that have one of the names. */
export function withOperators(query: string, keys: readonly Key[], wanted: readonly Operator[]): string {
  let rest = query
  for (const { key, start, end } of placed(query).reverse()) if (keys.includes(key)) rest = `${rest.slice(0, start)} ${rest.slice(end)}`
  const kept = rest === query ? query.trim() : rest.replace(/ {2,}/g, ' ').trim()
  // A quote that is open would take in what follows.
  const closed = wanted.length > 0 && (kept.replace(QUOTES, '"').split('"').length - 1) % 2 === 1 ? `${kept}"` : kept
  return [closed, ...wanted.map(written)].filter(Boolean).join(' ')
}

function written({ key, value }: Operator): string {
  const plain = value.replace(QUOTES, '"').replaceAll('"', ' ').trim()
  return /\s/.test(plain) ? `${key}:"${plain}"` : `${key}:${plain}`
}

const UNSPACED = /[\p{sc=Han}\p{sc=Hiragana}\p{sc=Katakana}\p{sc=Hangul}\p{sc=Thai}\p{sc=Lao}\p{sc=Khmer}\p{sc=Myanmar}]/u

/** The last word, as long as it may go on: none of an operator, in quotes or behind a minus. */
const BEGUN = /[\p{L}\p{M}\p{N}]+$/u

/**
 * What is asked for while somebody writes: the last word is a beginning until a blank follows. `otherwise`: the same
 * without its one letter, where no message has it alone.
 */
export function begun(query: string): { q: string; otherwise?: string } {
  const q = query.trim()
  const last = [...query.replace(QUOTES, '"').matchAll(ITEM)].at(-1)
  const [word] = BEGUN.exec(query) ?? []
  const isWord = last && !last[1] && !last[0].includes('"') && !(last[2] && OPERATOR.test(last[2]))
  if (!word || !isWord || q.length >= QUERY_MAX) return { q }
  if ([...word].length > 1) return { q: `${q}*` }
  const before = q.slice(0, -word.length).trim()
  return UNSPACED.test(word) || !isEnough(before) ? { q } : { q, otherwise: before }
}

/** Whether so little says what is meant: one letter does in scripts where it is half a word. */
export function isEnough(query: string): boolean {
  const wanted = query.trim()
  return [...wanted].length > 1 || UNSPACED.test(wanted)
}

/** The address of a search. `more`: which chat it is about, and how the hits are sorted. */
export function searchPath(query: string, more: Record<string, string> = {}): string {
  return `${BASE}search?${new URLSearchParams({ q: query, ...more })}`
}
