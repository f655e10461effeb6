import { expect, test } from 'vitest'
import { asideOf, isAside, resultsOf } from './asides'
import { message } from '../testing'

const call = message(3, {
  role: 'assistant', kind: 'tool_call', text: '{"city":"Oslo"}', meta: { call_id: 'c1', tool: 'get_weather' },
})
const result = message(4, { role: 'tool', kind: 'tool_result', text: '{"celsius":7}', meta: { call_id: 'c1' } })

test('a call has its name, what it was given, and what came back', () => {
  const aside = asideOf(call, result)
  expect(aside).toMatchObject({ icon: 'tool', label: 'get_weather', code: true, preview: 'city: "Oslo"', answered: true })
  expect(aside.sections).toEqual([
    { title: 'Arguments', text: '{\n  "city": "Oslo"\n}', language: 'json' },
    { title: 'Result', text: '{\n  "celsius": 7\n}', language: 'json' },
  ])
  expect(asideOf(call, undefined).answered).toBe(false)
})

test('a result belongs to the call above it, once', () => {
  const again = message(5, { ...result, id: 'm_5', seq: 5 })
  expect(resultsOf([call, result, again])).toEqual(new Map([['m_3', result]]))
  expect(resultsOf([result, call])).toEqual(new Map())
  const reused = message(6, { ...call, id: 'm_6', seq: 6 })
  expect(resultsOf([call, result, reused, again])).toEqual(new Map([['m_3', result], ['m_6', again]]))
})

test('words to the model are a prompt, notices of the system are none', () => {
  expect(asideOf(message(1, { role: 'system', text: 'Be\nkind.' }), undefined)).toMatchObject({
    icon: 'prompt', label: 'System prompt', preview: 'Be kind.', sections: [{ text: 'Be\nkind.', language: null }],
  })
  expect(asideOf(message(1, { role: 'developer' }), undefined).label).toBe('Developer prompt')
  expect(isAside(message(1, { role: 'system', by: 's_1' }))).toBe(false)
  expect(isAside(message(1))).toBe(false)
})

test('an item that is not known shows its type and itself', () => {
  const item = message(1, { role: 'assistant', kind: 'item', meta: { item: { type: 'web_search_call', id: 'ws_1' } } })
  expect(asideOf(item, undefined)).toMatchObject({ icon: 'item', label: 'web_search_call', code: true })
})
