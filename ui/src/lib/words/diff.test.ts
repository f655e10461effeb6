import { expect, test } from 'vitest'
import { differences, type Piece } from './diff'

const marked = (pieces: Piece[]): string =>
  pieces.map(({ kind, text }) => ({ same: text, added: `[+${text}]`, removed: `[-${text}]` })[kind]).join('')

test.each([
  ['', '', ''],
  ['the same', 'the same', 'the same'],
  ['', 'all new', '[+all new]'],
  ['all gone', '', '[-all gone]'],
  ['You are kind.', 'You are brief.', 'You are [-kind][+brief].'],
  ['Answer first.', 'Answer first.\nBe brief.', 'Answer first.[+\nBe brief.]'],
  ['one two three', 'one 2 drei', 'one [-two three][+2 drei]'],
  ['at 0.2 of 1,000', 'at 0.4 of 1,500', 'at [-0.2][+0.4] of [-1,000][+1,500]'],
  ['größer als', 'grösser als', '[-größer][+grösser] als'],
])('%o and %o', (before, after, expected) => {
  expect(marked(differences(before, after))).toBe(expected)
})

test('whatever differs, the pieces of each side are its text', () => {
  const words = ['a', 'b', ' ', '\n', 'c d', '.', '🙂', 'é']
  let seed = 7
  const chance = (most: number): number => (seed = (seed * 1103515245 + 12345) % 2147483648) % most
  for (let round = 0; round < 500; round++) {
    const [before, after] = [0, 1].map(() => Array.from({ length: chance(12) }, () => words[chance(words.length)]).join(''))
    const pieces = differences(before!, after!)
    const side = (other: Piece['kind']): string => pieces.filter(({ kind }) => kind !== other).map(({ text }) => text).join('')
    expect([side('added'), side('removed')]).toEqual([before, after])
  }
})

test('two long texts that have nothing to do with each other differ as wholes, at once', () => {
  const long = (word: string): string => `${word} `.repeat(50_000).trim()
  expect(differences(long('a'), long('b')).map(({ kind }) => kind)).toEqual(['removed', 'added'])
})
