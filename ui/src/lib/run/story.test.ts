import { expect, test } from 'vitest'
import { clipped, isAbout, countsOf, figuresOf, headlineOf, pendingOf, short, spanOf, stepsOf } from './story'
import { message } from '../../testing'
import type { Message } from '../protocol'

const call = (seq: number, tool: string, given: unknown, meta = {}): Message =>
  message(seq, { by: 'a_1', role: 'assistant', kind: 'tool_call', text: JSON.stringify(given), meta: { call_id: `c${seq}`, tool, ...meta } })
const result = (seq: number, text: string): Message => message(seq, { role: 'tool', kind: 'tool_result', text })
const edit = { file_path: 'src/a.py', old_string: 'x', new_string: 'y\nz' }

const messages = [
  call(1, 'Bash', { command: 'pytest\n-q' }, { reasoning: '**Look** at the\n`tests` first', usage: { input: 900, output: 100 } }),
  message(3, { by: 'a_1', role: 'assistant', text: 'I mend it.', meta: { usage: { input: 1000 } } }),
  call(4, 'Edit', edit),
  call(6, 'Edit', edit),
  call(8, 'get_weather', { city: 'Oslo' }),
  call(10, 'Task', { description: 'reviewer', prompt: 'Look.' }),
  message(12, { by: 'a_1', role: 'assistant', kind: 'item', meta: { item: { type: 'web_search_call' } } }),
  call(13, 'Bash', { command: 'pytest' }),
]
const results = new Map([
  ['m_1', result(2, 'Exit code 1\nE')], ['m_4', result(5, 'ok')], ['m_6', result(7, '<tool_use_error>no</tool_use_error>')],
  ['m_8', result(9, '{}')], ['m_10', result(11, 'Fine.')],
])
const steps = stepsOf({ steps: messages, results })

test('a run is told step by step', () => {
  expect(steps.map((step) => headlineOf(step)).map(({ word, main }) => [word, main])).toEqual([
    ['thought', 'Look at the tests first'], ['$', 'pytest -q'], ['said', 'I mend it.'], ['edited', 'src/a.py'], ['edited', 'src/a.py'],
    ['get_weather', 'city: "Oslo"'], ['agent', 'reviewer'], ['Item', 'web_search_call'], ['$', 'pytest'],
  ])
  expect(pendingOf(steps)?.seq).toBe(13)
  expect(new Set(steps.map((step) => step.key)).size).toBe(steps.length)
})

test('a compaction is told calmly, with its summary, and is no tool call', () => {
  const item = { type: 'compaction', encrypted_content: 'cmp_1' }
  const steps = stepsOf({ steps: [message(1, { role: 'assistant', kind: 'item', text: '**So** far', meta: { item } })], results: new Map() })
  expect(steps.map((step) => [step.kind, 'text' in step && step.text, headlineOf(step).main])).toEqual([
    ['summary', '**So** far', 'The conversation so far was shortened for the model'],
  ])
  expect(figuresOf(steps).tools).toBe(0)
})

test('a run in one line counts what was done; what failed changed nothing', () => {
  const figures = figuresOf(steps)
  expect(figures).toEqual({ commands: 2, files: 1, added: 2, removed: 1, tools: 2, children: 1, prompts: 0, failed: 2, tokens: 2000 })
  expect(countsOf(figures)).toEqual(['2 commands', '2 tool calls', '1 agent'])
})

test('a file that begins with words of a failure was looked at all the same', () => {
  const look = call(1, 'Read', { file_path: 'log.txt' })
  const of = (text: string): number => figuresOf(stepsOf({ steps: [look], results: new Map([['m_1', result(2, text)]]) })).failed
  expect([of('Exit code 1\nin a file'), of(`Error: x\n${'line\n'.repeat(100)}`), of('Error: no such file')]).toEqual([0, 0, 1])
})

test('times and numbers are short', () => {
  expect([0, 1400, 59_400, 60_000, 3_599_000, 7_500_000].map(spanOf)).toEqual(['1 s', '1 s', '59 s', '1 min', '1 h', '2 h 5 min'])
  expect([0, 999, 1000, 1250, 48_300, 999_499, 1_234_567].map(short)).toEqual(['0', '999', '1k', '1.3k', '48k', '999k', '1.2M'])
})

test('the chat of a task is called by its first words', () => {
  expect(isAbout('Look at the\u00a0parser…', 'Look at the\nparser, please.')).toBe(true)
  expect([isAbout('', 'Look'), isAbout('Look here', 'Look there'), isAbout('Look', '')]).toEqual([false, false, false])
})

test('of a long text the beginning and the end are shown', () => {
  expect(clipped('a'.repeat(30_000))).toHaveLength(30_000)
  const shown = clipped(`${'a'.repeat(20_000)}${'b'.repeat(5000)}${'c'.repeat(10_000)}`)
  expect(shown).toContain('5.0 kB are left out')
  expect([shown.includes('b'.repeat(50)), shown.endsWith('c')]).toEqual([false, true])
})
