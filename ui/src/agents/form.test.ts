import { expect, test } from 'vitest'
import { BLANK, changesOf, fieldOf, handleLike, mistakes, NOTHING } from './form'

test('only what was changed is sent, and parameters that the form does not show stay', () => {
  const before = { ...BLANK, name: 'Maya', temperature: '0.2', tags: 'a, b' }
  expect(changesOf(before, before, NOTHING)).toEqual({})
  const beside = { ...NOTHING, parameters: { temperature: 0.2, top_p: 0.9 } }
  expect(changesOf(before, { ...before, temperature: '' }, beside)).toEqual({ parameters: { top_p: 0.9 } })
  expect(changesOf(before, { ...before, temperature: '0,7' }, beside)).toEqual({ parameters: { temperature: 0.7, top_p: 0.9 } })
  expect(changesOf(before, { ...before, tags: ' b,, c , b', handle: '@maya ' }, NOTHING)).toEqual({ tags: ['b', 'c'], handle: 'maya' })
  expect(changesOf(before, { ...before, examples: 'Ada: Hi', post_history: 'Be brief.' }, NOTHING)).toEqual({ examples: 'Ada: Hi', post_history: 'Be brief.' })
  expect(changesOf(before, { ...before, messages: '20' }, NOTHING)).toEqual({ context: { messages: 20, tokens: null } })
  expect(changesOf(before, { ...before, audience: 'some', people: ['u_1'] }, NOTHING)).toEqual({ audience: 'some', people: ['u_1'] })
})

test('what cannot be stands at its field', () => {
  expect(mistakes({ ...BLANK, name: 'Maya' })).toEqual({})
  const wrong = { ...BLANK, temperature: '3', max_tokens: '1.5', messages: 'x', tokens: '0', tags: 'x'.repeat(41), audience: 'some' as const }
  expect(Object.keys(mistakes(wrong)).sort()).toEqual(['max_tokens', 'messages', 'name', 'people', 'tags', 'temperature', 'tokens'])
  expect([fieldOf('handle_taken', {}), fieldOf('name_reserved', {}), fieldOf('name_reserved', { handle: 'admin' }), fieldOf('too_busy', {})]).toEqual([
    'handle', 'name', 'handle', null,
  ])
})

test('an agent is called after its name, as the server calls it', () => {
  expect(['Der Rat', 'Éloïse', ' --Mia_2!', 'Мая', `${'a'.repeat(31)} b`].map(handleLike)).toEqual(['der-rat', 'eloise', 'mia-2', '', 'a'.repeat(31)])
})
