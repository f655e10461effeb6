import { expect, test } from 'vitest'
import { messages } from './testing'
import { around, growDown, growUp, newest, ROWS_FIRST, ROWS_MAX, slice } from './window'

const list = messages(1, 1000)
const size = (range: { from: number; to: number }) => {
  const { start, end } = slice(list, range)
  return end - start
}

test('it starts at the newest and follows what comes', () => {
  const range = newest(list)
  expect(slice(list, range)).toEqual({ start: 1000 - ROWS_FIRST, end: 1000 })
  expect(slice(messages(1, 1003), range).end).toBe(1003)
})

test('it is never larger than its bound, all the way up and down again', () => {
  let range = newest(list)
  while (slice(list, range).start > 0) {
    range = growUp(list, range)
    expect(size(range)).toBeLessThanOrEqual(ROWS_MAX)
  }
  expect(range.to).toBeLessThan(1000)
  while (slice(list, range).end < list.length) {
    range = growDown(list, range)
    expect(size(range)).toBeLessThanOrEqual(ROWS_MAX)
  }
  expect(range.to).toBe(Infinity)
})

test('each step overlaps the one before, so the anchor stays in the document', () => {
  let range = newest(list)
  for (let step = 0; step < 30; step++) {
    const before = slice(list, range)
    range = growUp(list, range)
    expect(slice(list, range).end).toBeGreaterThan(before.start)
    expect(slice(list, range).start).toBeLessThan(before.start)
  }
})

test('older messages that are loaded do not move it', () => {
  const late = messages(500, 1000)
  const range = growUp(late, newest(late))
  const seqs = (all: typeof late) => all.slice(slice(all, range).start, slice(all, range).end).map(({ seq }) => seq)
  expect(seqs(messages(400, 1000))).toEqual(seqs(late))
})

test('a place has neighbours on both sides', () => {
  const { start, end } = slice(list, around(list, 500))
  expect(list[start]!.seq).toBeLessThan(490)
  expect(list[end - 1]!.seq).toBeGreaterThan(510)
})

test('a room without messages has an empty window', () => {
  expect(slice([], newest([]))).toEqual({ start: 0, end: 0 })
  expect(growUp([], newest([]))).toEqual({ from: 0, to: Infinity })
})
