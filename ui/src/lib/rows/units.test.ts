import { expect, test } from 'vitest'
import { unitsOf, type Keys, type Unit } from './units'
import { message } from '../../testing'
import type { Message } from '../protocol'

const agent = { by: 'a_1', role: 'assistant' as const }
const call = (seq: number): Message => message(seq, { ...agent, kind: 'tool_call', meta: { call_id: `c${seq}`, tool: 'exec' } })
const result = (seq: number, of: number): Message => message(seq, { role: 'tool', kind: 'tool_result', meta: { call_id: `c${of}` } })
const words = (seq: number, more: Partial<Message> = {}): Message => message(seq, { ...agent, ...more })
const shape = (units: Unit[]): (number | number[])[] => units.map((unit) => (unit.kind === 'run' ? unit.steps.map((step) => step.seq) : unit.seq))

test('from three asides on a run is one, to its last step; fewer stand by themselves', () => {
  const two = [message(1), words(2), call(3), result(4, 3), call(5), result(6, 5), words(7)]
  expect(shape(unitsOf(two, new Map()))).toEqual([1, 2, 3, 5, 7])
  const three = [...two, call(8), result(9, 8), words(10), words(11)]
  const units = unitsOf(three, new Map())
  expect(shape(units)).toEqual([1, [2, 3, 5, 7, 8], 10, 11])
  expect([units[1]?.seq, units[1]?.last]).toEqual([2, 9])
})

test('somebody else’s words, another agent and another answer end a run; prompts between its steps do not', () => {
  const prompt = (seq: number): Message => message(seq, { role: 'system' })
  const many = [call(1), prompt(2), call(3), message(4), call(5), call(6), words(7, { by: 'a_2' }), words(8, { by: 'a_2', meta: { choice: 1 } })]
  expect(shape(unitsOf(many, new Map()))).toEqual([[1, 2, 3], 4, 5, 6, 7, 8])
})

test('prompts before the first words are a run of their own', () => {
  const prompts = [message(1, { role: 'developer' }), message(2, { role: 'developer' }), message(3, { text: '<user_info>x</user_info>' })]
  expect(shape(unitsOf([...prompts, message(4), call(5)], new Map()))).toEqual([[1, 2, 3], 4, 5])
})

test('a run keeps its key whether it grows at its end or older steps of it are loaded', () => {
  const keys: Keys = new Map()
  const key = (messages: Message[]): string | undefined => unitsOf(messages, keys).map((unit) => unit.kind === 'run' && unit.key)[0] || undefined
  const first = key([call(4), call(5), call(6)])
  expect(first).toBe('run-m_4')
  expect(key([call(4), call(5), call(6), call(7)])).toBe(first)
  expect(key([call(2), call(3), call(4), call(5), call(6), call(7)])).toBe(first)
  expect(keys.size).toBe(2)
})
