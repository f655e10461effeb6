/** A search under way: what is asked, what was found so far, page by page, and where somebody stood in it. */
import type { Found, Hit } from '../lib/protocol'
import type { Calls } from '../lib/server/calls'
import { begun } from './query'
import { Problem } from '../lib/server/errors'

export interface Asked {
  q: string
  /** In this chat alone. */
  room: string | null
  limit: number
  cursor?: string | null
  best?: boolean
}

/** The messages that a search finds. Days are those of who asks. */
export function find(calls: Calls, { q, room, limit, cursor, best = false }: Asked): Promise<Found> {
  const asked = new URLSearchParams({ q, limit: String(limit), offset: String(-new Date().getTimezoneOffset()) })
  if (room !== null) asked.set('room', room)
  if (cursor) asked.set('cursor', cursor)
  if (best) asked.set('sort', 'relevance')
  return calls.call('GET', `/search?${asked}`)
}

export class Listing {
  query = $state('')
  room: string | null = $state(null)
  best = $state(false)
  pages: readonly (readonly Hit[])[] = $state.raw([])
  /** The last answer: whether all was looked at, and how it goes on. Null before the first one. */
  last: Omit<Found, 'hits'> | null = $state.raw(null)
  waits = $state(false)
  problem: unknown = $state.raw(null)
  /** What was asked for when these hits were found. */
  found = $state('')
  /** Where somebody stood in it: how far it was scrolled, and which message they opened. */
  top = 0
  stop: string | null = $state(null)
  readonly hits = $derived(this.pages.flat())
  /** Whether there is anything to look for. */
  readonly asks = $derived(this.query.trim() !== '')
  /** Time was up before all was looked at. */
  readonly isLate = $derived(this.last !== null && !this.last.complete && this.last.indexed_until === null)
  #calls: Calls
  #limit: number
  #times = 0
  /** Where it went on the last time, and with which words. */
  #cursor: string | null = null
  #asked = ''

  constructor(calls: Calls, limit: number) {
    this.#calls = calls
    this.#limit = limit
  }

  /** Something else will be asked for: what was asked for before and has not come yet does not count any more. */
  expect(): void {
    this.#times += 1
    this.waits = true
    this.problem = null
  }

  /** From the first hit on. Whether this is still what is asked for, and was answered. */
  look(): Promise<boolean> {
    return this.#ask(null)
  }

  async more(): Promise<void> {
    if (!this.waits && this.last?.cursor) await this.#ask(this.last.cursor)
  }

  /** What failed, once more. */
  async again(): Promise<void> {
    await this.#ask(this.#cursor)
  }

  /** Nothing is asked for. */
  clear(): void {
    this.expect()
    this.pages = []
    this.last = null
    this.waits = false
  }

  async #ask(cursor: string | null): Promise<boolean> {
    this.expect()
    this.#cursor = cursor
    const times = this.#times
    const written = this.query.trim()
    const { q, otherwise } = cursor === null ? begun(this.query) : { q: this.#asked, otherwise: undefined }
    const look = (q: string): Promise<Found> => find(this.#calls, { q, room: this.room, limit: this.#limit, cursor, best: this.best })
    try {
      let found = await look(q)
      const other = otherwise && times === this.#times && found.hits.length === 0 && found.cursor === null ? otherwise : null
      if (other) found = await look(other)
      if (times !== this.#times) return false
      const { hits, ...last } = found
      this.#asked = other ?? q
      this.pages = cursor === null ? [hits] : [...this.pages, hits]
      this.last = last
      this.found = written
      if (cursor === null) this.stop = null
    } catch (error) {
      if (times !== this.#times) return false
      if (error instanceof Problem && error.code === 'cursor_expired') return this.look() // the index was made anew
      this.problem = error
    }
    this.waits = false
    return this.problem === null
  }
}

/** Hits by chat, in the order in which the chats come. What came later stands below, so that nothing read moves. */
export function grouped(pages: readonly (readonly Hit[])[]): { room: string; title: string; hits: Hit[] }[] {
  const groups: { room: string; title: string; hits: Hit[] }[] = []
  for (const hits of pages) {
    // The last chat of a page goes on with the next.
    const here = groups.slice(-1)
    for (const hit of hits) {
      let group = here.find(({ room }) => room === hit.message.room)
      if (!group) {
        group = { room: hit.message.room, title: hit.title, hits: [] }
        here.push(group)
        groups.push(group)
      }
      group.hits.push(hit)
    }
  }
  return groups
}
