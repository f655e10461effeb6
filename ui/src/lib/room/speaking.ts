/**
 * Who answers what a person says in a chat: the server's rule (`palaver.speaking`), told while it is being written. Both
 * are held to the same cases, in tests/data/speaking.json.
 */
import type { Member, Speaks } from '../protocol'

export interface Listener {
  id: string
  handle: string | null
  speaks: Speaks
  /** It is there with one person, and nobody else finds the chat. */
  alone: boolean
  /** It answers whom it is shared with, oneself among them. */
  forMe: boolean
}

const MENTIONS_MAX = 20
/** The handle of all agents of a chat. */
export const AGENTS = 'agents'
const QUESTION_MARKS = new Set('?\uff1f\u061f\u2047\u2048\u055e\u1367\u2e2e\u037e')

/** What must not stand before the @ of a mention. */
export const UNLIKE = String.raw`\p{L}\p{N}_.@/:\-`
// What is looked ahead for is not given back, as by a possessive pattern.
const MENTION = new RegExp(String.raw`(?<![${UNLIKE}])@(?=([A-Za-z0-9][A-Za-z0-9._\-]{1,31}))\1(?![\p{L}\p{N}_@/])`, 'gu')
const LINK = /\[[^[\]\n]*\]\([^()\s]*\)|(?::\/\/|www\.)\S+/g
const FENCE = /^ {0,3}(`{3,}|~{3,})/
const QUOTE = /^ {0,3}>/
const LINES = /\r\n|[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]/

/** Those who answer a text, who is mentioned first, then as they came. */
export function answering(text: string, listeners: readonly Listener[], people: ReadonlyMap<string, string> = new Map()): Listener[] {
  const named = mentioned(handlesIn(text), listeners, people)
  const asks = isQuestion(text)
  const place = ({ id }: Listener): number => (named.includes(id) ? named.indexOf(id) : named.length)
  return listeners.filter((one) => answers(one, named, asks)).sort((a, b) => place(a) - place(b))
}

/** The agents among the members of a chat, with what the rule asks of them. */
export function listenersOf(members: readonly Member[], isPrivate: boolean): Listener[] {
  const writers = members.filter(({ speaks, role }) => speaks === null && role !== 'reader').length
  return members.flatMap(({ id, handle, speaks, for_me }) =>
    speaks ? [{ id, handle, speaks, alone: isPrivate && writers < 2, forMe: for_me !== false }] : [],
  )
}

/** The handles that a text mentions, in small letters, each once. */
export function handlesIn(text: string): string[] {
  if (!text.includes('@')) return []
  const prose = paragraphs(text).map(withoutCode).join('\n\n').replace(LINK, ' ')
  const named = [...prose.matchAll(MENTION)].map((found) => found[1]!.toLowerCase().replace(/[.-]+$/, ''))
  return [...new Set(named)].slice(0, MENTIONS_MAX)
}

/** Whether the last character that can be seen is a question mark of any script. */
export function isQuestion(text: string): boolean {
  const last = [...text.slice(-200)].findLast((one) => !/[\s\p{Cc}\p{Cf}\p{Mn}]/u.test(one))
  return last !== undefined && QUESTION_MARKS.has(last)
}

function answers({ id, speaks, alone }: Listener, named: readonly string[], asks: boolean): boolean {
  if (speaks === 'never') return false
  return named.includes(id) || speaks === 'always' || (speaks === 'asked' && asks) || (speaks === 'auto' && alone)
}

function mentioned(handles: readonly string[], listeners: readonly Listener[], people: ReadonlyMap<string, string>): string[] {
  const agents = new Map(listeners.map(({ id, handle }) => [handle, id]))
  const named = handles.flatMap((handle) => (handle === AGENTS ? [...agents.values()] : (agents.get(handle) ?? people.get(handle) ?? [])))
  return [...new Set(named)]
}

/** What is said in one's own words: without fenced code and quoted lines, parted at blank lines. */
function paragraphs(text: string): string[] {
  const kept: string[][] = [[]]
  let fence = ''
  for (const line of text.split(LINES)) {
    const begun = FENCE.exec(line)?.[1]
    if (fence) {
      if (begun?.startsWith(fence)) fence = ''
    } else if (begun) {
      fence = begun
      kept.push([])
    } else if (line.trim() === '') kept.push([])
    else if (!QUOTE.test(line)) kept.at(-1)!.push(line)
  }
  return kept.map((lines) => lines.join('\n'))
}

/** A paragraph without its code, each piece between two runs of as many backticks. */
function withoutCode(prose: string): string {
  const runs = [...prose.matchAll(/`+/g)]
  const following = new Map<number, number[]>()
  for (let place = runs.length - 1; place >= 0; place -= 1) {
    const size = runs[place]![0].length
    const alike = following.get(size)
    if (alike) alike.push(place)
    else following.set(size, [place])
  }
  let kept = ''
  let at = 0
  for (let place = 0; place < runs.length; place += 1) {
    const run = runs[place]!
    const alike = following.get(run[0].length)!
    while (alike.length > 0 && alike.at(-1)! <= place) alike.pop()
    const end = alike.at(-1)
    if (end === undefined) continue
    kept += `${prose.slice(at, run.index)} `
    place = end
    at = runs[end]!.index + runs[end]![0].length
  }
  return kept + prose.slice(at)
}
