import { expect, test } from 'vitest'
import { begun, isEnough, operatorsOf, searchPath, withOperators } from './query'

test.each([
  ['in:Launch words', [['in', 'Launch']]],
  ['two in:"Launch party" from:@bo', [['in', 'Launch party'], ['from', '@bo']]],
  ['in:“Launch party” words', [['in', 'Launch party']]],
  ['IN:"never closed', [['in', 'never closed']]],
  ['-in:Launch has:unknown on:someday in:"" after: before:2026-13x', []],
  ['on:2026-13 after:2026-02-30 before:2026-00 on:0000 on:2026-1', []],
  ['on:2024-02-29 after:2026-12', [['on', '2024-02-29'], ['after', '2026-12']]],
  ['"in:Launch" a:in:b', []],
  ['has:Link has:code on:today after:7d before:2026-11', [['has', 'Link'], ['has', 'code'], ['on', 'today'], ['after', '7d'], ['before', '2026-11']]],
])('the operators of %s', (query, found) => {
  expect(operatorsOf(query, 'in', 'from', 'before', 'after', 'on', 'has').map(({ key, value }) => [key, value])).toEqual(found)
})

test.each([
  ['', 'in:Launch'],
  ['two words', 'two words in:Launch'],
  ['two  in:Garden words in:"Old  plans"', 'two words in:Launch'],
  ['has:link in:Garden', 'has:link in:Launch'],
  ['"two words', '"two words" in:Launch'],
  ['“two words', '“two words" in:Launch'],
])('what is chosen takes the place of what was: %s', (query, wanted) => {
  expect(withOperators(query, ['in'], [{ key: 'in', value: 'Launch' }])).toBe(wanted)
})

test('what has blanks stands in quotes, which it has none of itself, and is read again as it was', () => {
  const wanted = withOperators('words', ['in'], [{ key: 'in', value: 'The "new" plans' }])
  expect(wanted).toBe('words in:"The  new  plans"')
  expect(withOperators('发布 计划', ['in'], [{ key: 'in', value: '发布 计划' }])).toBe('发布 计划 in:"发布 计划"')
  expect(operatorsOf('发布 in:"发布 计划"', 'in')).toEqual([{ key: 'in', value: '发布 计划' }])
})

test('all that narrows in one way is taken out together, and the words stay as they were written', () => {
  expect(withOperators('  after:7d "two  words" on:2026 x', ['before', 'after', 'on'], [])).toBe('"two words" x')
  expect(withOperators('"two  words"', ['on'], [])).toBe('"two  words"')
})

test.each([
  ['platform fo', 'platform fo*'],
  ['getuser', 'getuser*'],
  ['get_us', 'get_us*'],
  ['from:bo tr', 'from:bo tr*'],
  ['std:ve', 'std:ve*'],
  ['"ninth train" le', '"ninth train" le*'],
  ['Ёл', 'Ёл*'],
  ['train ', 'train'],
  ['"ninth trai', '"ninth trai'],
  ['train*', 'train*'],
  ['train -bu', 'train -bu'],
  ['from:an', 'from:an'],
  ['has:li', 'has:li'],
  ['IS:ed', 'IS:ed'],
  ['=>', '=>'],
  ['a'.repeat(500), 'a'.repeat(500)],
])('the last word is a beginning until a blank follows: %s', (query, q) => {
  expect(begun(query)).toEqual({ q })
})

test.each([
  ['ninth t', { q: 'ninth t', otherwise: 'ninth' }],
  ['get_user_n', { q: 'get_user_n', otherwise: 'get_user_' }],
  ['t', { q: 't' }],
  ['发布 计', { q: '发布 计' }],
])('one letter is a word, or else not written yet: %s', (query, asked) => {
  expect(begun(query)).toEqual(asked)
})

test('one letter is enough where it is half a word', () => {
  expect(['', ' ', 'a', '1', '😀', '字', 'か', '한', 'ab', '=>'].filter(isEnough)).toEqual(['字', 'か', '한', 'ab', '=>'])
})

test.each(['\ud800', '\0', '"', 'NEAR(', 'col:', '(a+)+$', ' OR a'.repeat(1000), 'in:"'.repeat(20_000), '-'.repeat(100_000)])('any text is read, and stays words: %j', (text) => {
  const words = text.slice(0, 500)
  expect(withOperators(text, ['from'], [{ key: 'from', value: 'me' }])).toMatch(/ from:me$/)
  expect(new URLSearchParams(searchPath(words).split('?')[1]).get('q')).toBe(words.replace(/\p{Surrogate}/gu, '\ufffd'))
  expect(operatorsOf(words, 'from', 'has')).toEqual([])
})
