import { expect, test } from 'vitest'
import { keptOf } from './kept'

test('what a card holds beside what is used here is told in words', () => {
  const used = { name: 'Maya', first_mes: 'Hi', mes_example: 'x', system_prompt: '', tags: ['a'], creator_notes: 'y' }
  const empty = { creator: '', extensions: {}, alternate_greetings: [], character_book: null }
  expect(keptOf({ data: { ...used, ...empty } })).toBe('')
  const data = {
    ...used, creator: 'Bo', character_version: '2', character_book: { entries: [{}, {}] }, extensions: { a: 1, b: 2, c: 3 }, alternate_greetings: ['Ho'],
  }
  expect(keptOf({ data })).toBe('a lorebook, 1 other greeting, 3 extensions, 2 other fields')
  expect(keptOf({ data: { ...used, extensions: { talkativeness: '0.5' } } })).toBe('1 extension')
})
