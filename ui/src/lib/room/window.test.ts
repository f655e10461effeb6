import { expect, test } from 'vitest'
import type { Message } from '../protocol'
import { messages } from '../../testing'
import { around, growDown, growUp, newest, ROWS_FIRST, ROWS_MAX, slice, type Range } from './window'

const list = messages(1, 1000)
const at = (range: Range, all = list) => slice(all, range, false)
const size = (range: Range) => at(range).end - at(range).start
const seqs = (range: Range, all: Message[]) => all.slice(at(range, all).start, at(range, all).end).map(({ seq }) => seq)

test('it starts at the newest and follows what comes', () => {
  const range = newest(list)
  expect(at(range)).toEqual({ start: 1000 - ROWS_FIRST, end: 1000 })
  expect(at(range, messages(1, 1003)).end).toBe(1003)
})

test('it is never larger than its bound, all the way up and down again', () => {
  let range = newest(list)
  while (at(range).start > 0) {
    range = growUp(list, range, at(range))
    expect(size(range)).toBeLessThanOrEqual(ROWS_MAX)
  }
  expect(range.to).toBeLessThan(1000)
  while (at(range).end < list.length) {
    range = growDown(list, range, at(range), true)
    expect(size(range)).toBeLessThanOrEqual(ROWS_MAX)
  }
  expect(range.to).toBe(Infinity)
})

test('each step overlaps the one before, so the anchor stays in the document', () => {
  let range = newest(list)
  for (let step = 0; step < 30; step++) {
    const before = at(range)
    range = growUp(list, range, before)
    expect(at(range).end).toBeGreaterThan(before.start)
    expect(at(range).start).toBeLessThan(before.start)
  }
})

test('older messages that are loaded do not move it', () => {
  const late = messages(500, 1000)
  const first = newest(late)
  const range = growUp(late, first, at(first, late))
  expect(seqs(range, messages(400, 1000))).toEqual(seqs(range, late))
})

test('newer messages that are loaded at a place far up do not push the reader out', () => {
  const place = messages(1, 100)
  let range = around(place, 80)
  for (let step = 0; step < 5; step++) range = growDown(place, range, at(range, place), false)
  expect(at(range, place).end).toBe(100)
  expect(seqs(range, messages(1, 400))).toEqual(seqs(range, place))
})

test('a burst of new messages takes nothing from a reader who does not follow', () => {
  const range = newest(list)
  const later = messages(1, 1500)
  expect(slice(later, range, false).start).toBe(1000 - ROWS_FIRST)
  expect(slice(later, range, true)).toEqual({ start: 1500 - ROWS_MAX, end: 1500 })
})

test('a place has neighbours on both sides', () => {
  const { start, end } = at(around(list, 500))
  expect(list[start]!.seq).toBeLessThan(490)
  expect(list[end - 1]!.seq).toBeGreaterThan(510)
})

test('a room without messages has an empty window', () => {
  const empty = newest([])
  expect(slice([], empty, true)).toEqual({ start: 0, end: 0 })
  expect(growUp([], empty, { start: 0, end: 0 })).toEqual(empty)
  expect(growDown([], empty, { start: 0, end: 0 }, true)).toEqual(empty)
})

test('what has several messages is on the page as long as one of them is in the range', () => {
  const units = [{ seq: 1, last: 1 }, { seq: 2, last: 60 }, { seq: 61, last: 61 }]
  expect(slice(units, { from: 40, to: Infinity }, false)).toEqual({ start: 1, end: 3 })
  expect(slice(units, { from: 61, to: 61 }, false)).toEqual({ start: 2, end: 3 })
})
