import { expect, test } from 'vitest'
import { isAside, partedContext, resultsOf } from './asides'
import { message } from '../../testing'

const call = message(3, {
  role: 'assistant', kind: 'tool_call', text: '{"city":"Oslo"}', meta: { call_id: 'c1', tool: 'get_weather' },
})
const result = message(4, { role: 'tool', kind: 'tool_result', text: '{"celsius":7}', meta: { call_id: 'c1' } })

test('a result belongs to the call above it, once', () => {
  const again = message(5, { ...result, id: 'm_5', seq: 5 })
  expect(resultsOf([call, result, again])).toEqual(new Map([['m_3', result]]))
  expect(resultsOf([result, call])).toEqual(new Map())
  const reused = message(6, { ...call, id: 'm_6', seq: 6 })
  expect(resultsOf([call, result, reused, again])).toEqual(new Map([['m_3', result], ['m_6', again]]))
})

test('notices of the system are no prompts, and words of a person are none', () => {
  expect(isAside(message(1, { role: 'system' }))).toBe(true)
  expect(isAside(message(1, { role: 'system', by: 's_1' }))).toBe(false)
  expect(isAside(message(1))).toBe(false)
  expect(isAside(message(1, { meta: { context: true } }))).toBe(true)
  expect(isAside(message(1, { role: 'assistant', meta: { context: true } }))).toBe(true)
})

test('what a program puts before a person’s words is told apart from them', () => {
  const context = '<system-reminder>\nToday is Sunday.\n</system-reminder>'
  expect(partedContext(`${context}\n\nFix <b>it</b>`)).toEqual({ context, words: 'Fix <b>it</b>' })
  expect(partedContext('# AGENTS.md instructions for /a\n\n<INSTRUCTIONS>\nBe kind.\n</INSTRUCTIONS>')?.words).toBe('')
  for (const said of ['<b>Hi</b>', 'Look: <system-reminder>x</system-reminder>', '# A title', '<system-reminder> never closed']) {
    expect(partedContext(said)).toBe(null)
    expect(isAside(message(1, { text: said }))).toBe(false)
  }
  expect(isAside(message(1, { text: context }))).toBe(true)
  expect(isAside(message(1, { text: context, meta: { parts: [{ type: 'input_image' }] } }))).toBe(false)
})
