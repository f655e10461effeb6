import { expect, test } from 'vitest'
import { outcomeOf } from './results'
import { message } from '../../testing'

const outcome = (text: string, meta = {}): ReturnType<typeof outcomeOf> =>
  outcomeOf(message(1, { role: 'tool', kind: 'tool_result', text, meta: { call_id: 'c', ...meta } }))

test.each([
  ['Chunk ID: 3f\nWall time: 0.1 seconds\nProcess exited with code 2\nOriginal token count: 3\nOutput:\nno such file\n', 'no such file\n', 2],
  ['Exit code: 0\nWall time: 0 seconds\nOutput:\nfine', 'fine', 0],
  ['{"output":"fine","metadata":{"exit_code":0,"duration_seconds":0.1}}', 'fine', 0],
  ['Exit code 1\nE   assert 1 == 2', 'Exit code 1\nE   assert 1 == 2', 1],
  ['just words', 'just words', null],
])('how a command ended is read of %j', (told, text, exit) => {
  expect(outcome(told)).toMatchObject({ text, exit, failed: exit !== null && exit !== 0 })
})

test('a failure that is told otherwise is one, words about one are none', () => {
  expect(outcome('<tool_use_error>No such file</tool_use_error>').failed).toBe(true)
  expect(outcome('done', { is_error: true }).failed).toBe(true)
  expect(outcome('The process would exit with code 1 then.\nAll is well.').failed).toBe(false)
})

test('JSON is indented, and nothing else is called JSON', () => {
  expect(outcome('{"celsius":7}')).toMatchObject({ text: '{\n  "celsius": 7\n}', json: true, failed: false })
  expect(outcome('[not json')).toMatchObject({ text: '[not json', json: false })
})
