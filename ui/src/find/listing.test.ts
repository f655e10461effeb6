import { expect, test } from 'vitest'
import type { Found, Hit } from '../lib/protocol'
import type { Calls } from '../lib/server/calls'
import { Problem } from '../lib/server/errors'
import { message } from '../testing'
import { behind } from './behind'
import { grouped, Listing } from './listing.svelte'

const hit = (room: string, seq: number): Hit => ({ message: message(seq, { room }), title: room, snippet: { text: '', ranges: [] } })
const answer = (...hits: Hit[]): Found => ({ hits, complete: true, indexed_until: null, cursor: 'next' })

/** A server that answers when it is told to. */
class Slow {
  readonly asked: string[] = []
  readonly #answers: ((found: Found) => void)[] = []
  readonly calls = { call: (_: string, path: string) => {
    this.asked.push(path)
    return new Promise<Found>((resolve) => this.#answers.push(resolve))
  } } as unknown as Calls

  answer(index: number, found: Found): void {
    this.#answers[index]!(found)
  }
}

test('an answer to what is not asked for any more is dropped, whichever comes first', async () => {
  const server = new Slow()
  const list = new Listing(server.calls, 5)
  list.query = 'on'
  const first = list.look()
  list.query = 'one'
  const second = list.look()
  server.answer(1, answer(hit('a', 2)))
  expect(await second).toBe(true)
  server.answer(0, answer(hit('a', 1)))
  expect(await first).toBe(false)
  expect([list.hits.map((one) => one.message.seq), list.found, list.waits]).toEqual([[2], 'one', false])
})

test('what was asked for counts no more once something else is written', async () => {
  const server = new Slow()
  const list = new Listing(server.calls, 5)
  list.query = 'on'
  const first = list.look()
  list.expect()
  server.answer(0, answer(hit('a', 1)))
  expect(await first).toBe(false)
  expect([list.hits, list.waits]).toEqual([[], true])
})

test('it goes on where it ended, in the same chat', async () => {
  const server = new Slow()
  const list = new Listing(server.calls, 5)
  list.query = 'a&b'
  list.room = 'r_1'
  const looked = list.look()
  server.answer(0, answer(hit('r_1', 2)))
  await looked
  const more = list.more()
  server.answer(1, { ...answer(hit('r_1', 1)), cursor: null })
  await more
  await list.more()
  expect(list.hits.map((one) => one.message.seq)).toEqual([2, 1])
  expect(server.asked.map((path) => new URLSearchParams(path.split('?')[1])).map((asked) => [asked.get('q'), asked.get('room'), asked.get('cursor')])).toEqual([
    ['a&b', 'r_1', null], ['a&b', 'r_1', 'next'],
  ])
})

test('a last letter that no message has is as if it was not written yet, and so it goes on', async () => {
  const asked: (string | null)[] = []
  const calls = { call: (_: string, path: string) => {
    asked.push(new URLSearchParams(path.split('?')[1]).get('q'))
    return Promise.resolve(asked.at(-1) === 'ninth' ? answer(hit('a', asked.length)) : { ...answer(), cursor: null })
  } } as unknown as Calls
  const list = new Listing(calls, 5)
  list.query = 'ninth t'
  expect(await list.look()).toBe(true)
  await list.more()
  expect(asked).toEqual(['ninth t', 'ninth', 'ninth'])
  expect([list.found, list.hits.length]).toEqual(['ninth t', 2])
})

test('a search whose index was made anew begins again by itself', async () => {
  const cursors: (string | null)[] = []
  const calls = { call: (_: string, path: string) => {
    const cursor = new URLSearchParams(path.split('?')[1]).get('cursor')
    cursors.push(cursor)
    return cursor === null ? Promise.resolve(answer(hit('a', 10 - cursors.length))) : Promise.reject(new Problem('cursor_expired'))
  } } as unknown as Calls
  const list = new Listing(calls, 5)
  list.query = 'one'
  await list.look()
  await list.more()
  expect([cursors, list.hits.map((one) => one.message.seq), list.problem, list.waits]).toEqual([[null, 'next', null], [7], null, false])
})

test('what failed is asked for once more, and what is there stays', async () => {
  const cursors: (string | null)[] = []
  const calls = { call: (_: string, path: string) => {
    cursors.push(new URLSearchParams(path.split('?')[1]).get('cursor'))
    return cursors.length === 2 ? Promise.reject(new Error('away')) : Promise.resolve(answer(hit('a', 10 - cursors.length)))
  } } as unknown as Calls
  const list = new Listing(calls, 5)
  list.query = 'one'
  await list.look()
  await list.more()
  expect([list.hits.length, list.waits, list.problem !== null]).toEqual([1, false, true])
  await list.again()
  expect([cursors, list.hits.length, list.problem]).toEqual([[null, 'next', 'next'], 2, null])
})

test('hits stand by chat, and what comes later only below what is there', () => {
  const pages = [[hit('a', 9), hit('b', 8), hit('a', 7)], [hit('b', 6), hit('a', 5)]]
  const shown = (count: number): [string, number[]][] => grouped(pages.slice(0, count)).map((group) => [group.room, group.hits.map((one) => one.message.seq)])
  expect(shown(1)).toEqual([['a', [9, 7]], ['b', [8]]])
  expect(shown(2)).toEqual([['a', [9, 7]], ['b', [8, 6]], ['a', [5]]])
})

test('what is not complete is said, with the reason', () => {
  const now = new Date('2026-12-01T12:00:00')
  const said = (more: Partial<Found>): string | null => behind({ complete: false, indexed_until: null, cursor: null, ...more }, now)
  expect(said({ complete: true })).toBe(null)
  expect(said({ indexed_until: '1970-01-01T00:00:00.000Z' })).toContain('being made')
  expect(said({ indexed_until: now.toISOString() })).toMatch(/^Not complete: indexed to \d?\d:\d\d( [AP]M)?\.$/)
  expect(said({ indexed_until: '2026-11-20T10:00:00Z' })).toContain('2026')
  expect(said({})).toContain('takes long')
})
