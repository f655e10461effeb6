import { expect, test } from 'vitest'
import type { OutboxEntry } from '../outbox/outbox'
import { buildRows as rowsOf, isShown, type RowInput } from './rows'
import { unitsOf } from './units'
import type { Draft, Message } from '../protocol'
import { Stream } from '../room/stream'
import { message } from '../../testing'

const me = { id: 'u_1', name: 'Ada' }
type Said = Omit<RowInput, 'units' | 'previous'> & { messages: Message[]; previous: Message | undefined }
const base: Said = {
  messages: [], previous: undefined, drafts: [], pending: [], streams: [], me, readSeq: null, cut: false, atEnd: true, opened: [],
}
const buildRows = ({ messages, previous, ...input }: Said) =>
  rowsOf({ ...input, units: unitsOf(messages, new Map()), previous: previous && unitsOf([previous], new Map())[0] })
const at = (minute: number, day = 20) => `2026-11-${String(day).padStart(2, '0')}T12:${String(minute).padStart(2, '0')}:00.000Z`
const entry: OutboxEntry = { cid: 'c1', room: 'r_1', me: 'u_1', text: 'hi', at: at(9), state: 'sending', code: null, seq: null }

test('messages of one person shortly after each other are one group', () => {
  const rows = buildRows({
    ...base,
    messages: [message(1, { at: at(0) }), message(2, { at: at(1) }), message(3, { at: at(30) }), message(4, { at: at(31), by: 'u_9' })],
  })
  expect(rows.map((row) => row.grouped)).toEqual([false, true, false, false])
})

test('a new day begins with its name', () => {
  const rows = buildRows({ ...base, messages: [message(1, { at: at(0, 3) }), message(2, { at: at(0, 4) }), message(3, { at: at(1, 4) })] })
  expect(rows.map((row) => row.day !== null)).toEqual([true, true, false])
})

test('the first unread message of others is marked, once', () => {
  const rows = buildRows({ ...base, readSeq: 1, messages: [message(1), message(2, { by: 'u_1' }), message(3), message(4)] })
  expect(rows.map((row) => row.firstNew)).toEqual([false, false, true, false])
  expect(buildRows({ ...base, readSeq: 1, previous: message(2), messages: [message(3)] })[0]!.firstNew).toBe(false)
})

test('a row keeps its key from the outbox and from the stream to the log', () => {
  const stream = new Stream({ msg: 'm_8', turn: 't', by: 'a_1', name: 'Assistant', after: 7, n: 0, text: '', reasoning: '' })
  const before = buildRows({ ...base, pending: [entry], streams: [stream] })
  const after = buildRows({
    ...base,
    messages: [message(7, { by: 'u_1', cid: 'c1' }), message(8, { by: 'a_1', role: 'assistant' })],
  })
  expect(after.map((row) => row.key)).toEqual(before.map((row) => row.key))
})

test('what the program of a person says that the assistant said is that person\'s', () => {
  const said = (seq: number, by: string) => message(seq, { by, role: 'assistant' })
  const rows = buildRows({ ...base, messages: [said(1, 'u_9'), said(2, 'a_1'), said(3, 'u_1')] })
  expect(rows.map(({ role, own }) => [role, own])).toEqual([['user', false], ['assistant', false], ['user', true]])
})

test('an answer being written stands below what is said meanwhile', () => {
  const stream = new Stream({ msg: 'm_8', turn: 't', by: 'a_1', name: 'Assistant', after: 7, n: 0, text: '', reasoning: '' })
  const rows = buildRows({ ...base, messages: [message(7)], pending: [entry], streams: [stream] })
  expect(rows.map((row) => row.kind)).toEqual(['message', 'pending', 'stream'])
})

test('what is written after the connection was lost stands below what was being written then', () => {
  const stream = new Stream({ msg: 'm_8', turn: 't', by: 'a_1', name: 'Assistant', after: 7, n: 0, text: '', reasoning: '' })
  const pending = [entry, { ...entry, cid: 'c2', at: at(11) }]
  const rows = buildRows({ ...base, messages: [message(7)], pending, streams: [stream], lostAt: at(10) })
  expect(rows.map((row) => row.key)).toEqual(['m_7', 'c1', 'm_8', 'c2'])
})

test('a draft is the row of the outbox at its place, or a row of its own, and keeps its key', () => {
  const draft = (id: string, by: string, cid: string): Draft => ({ msg: id, by, name: by, text: id, cid, at: at(9) })
  const drafts = [draft('m_8', 'u_2', 'c1'), draft('m_9', 'u_1', 'c1'), draft('m_10', 'u_1', 'c0')]
  const before = buildRows({ ...base, drafts, pending: [{ ...entry, cid: 'c2' }, { ...entry, state: 'accepted' }] })
  expect(before.map((row) => row.kind)).toEqual(['draft', 'pending', 'draft', 'pending'])
  const messages = drafts.map((kept, index) => message(8 + index, { id: kept.msg, by: kept.by, cid: kept.cid }))
  const after = buildRows({ ...base, messages, pending: [{ ...entry, cid: 'c2' }] })
  expect(after.map((row) => row.key)).toEqual(before.map((row) => row.key))
})

test('an answer that was asked for again is gone, a person’s deleted message leaves a mark', () => {
  expect(isShown(message(1, { deleted_at: at(1), role: 'assistant' }))).toBe(false)
  expect(isShown(message(1, { deleted_at: at(1), role: 'user' }))).toBe(true)
})

test('an agent’s calls, their results and its words are one block; prompts stand alone', () => {
  const one = { by: 'a_1', role: 'assistant' as const, at: at(1) }
  const rows = buildRows({
    ...base,
    messages: [
      message(1, { role: 'system', at: at(0) }),
      message(2, { at: at(0) }),
      message(3, { ...one, text: 'Let me look.' }),
      message(4, { ...one, kind: 'tool_call', meta: { call_id: 'c1', tool: 'look' } }),
      message(5, { ...one, kind: 'tool_call', meta: { call_id: 'c2', tool: 'look' } }),
      message(6, { role: 'tool', kind: 'tool_result', at: at(1), meta: { call_id: 'c1' } }),
      message(8, { ...one, text: 'It is here.' }),
      message(9, { ...one, text: 'Or there.', meta: { choice: 1 } }),
    ],
  })
  expect(rows.map((row) => row.key)).toEqual(['m_1', 'm_2', 'm_3', 'm_4', 'm_5', 'm_8', 'm_9'])
  expect(rows.map((row) => row.grouped)).toEqual([false, false, false, true, true, true, false])
  expect(rows.map((row) => row.kind === 'message' && row.result?.id)).toEqual([
    undefined, undefined, undefined, 'm_6', undefined, undefined, undefined,
  ])
})

test('a run is one row from its question to its answer, of which the answer is no part', () => {
  const one = { by: 'a_1', role: 'assistant' as const, name: 'Codex' }
  const call = (seq: number): Message => message(seq, { ...one, kind: 'tool_call', at: at(seq), meta: { call_id: `c${seq}`, tool: 'exec' } })
  const messages = [message(1, { at: at(1) }), call(2), call(3), call(4), message(5, { ...one, at: at(8), text: 'Done.' })]
  const [question, run, answer] = buildRows({ ...base, messages, readSeq: 1, opened: [3] })
  expect([question?.kind, run?.kind, answer?.kind]).toEqual(['message', 'run', 'message'])
  expect(run).toMatchObject({ name: 'Codex', from: at(1), to: at(8), newest: false, open: true, cut: false, firstNew: true, role: 'assistant' })
  expect(answer?.grouped).toBe(true)
  const stream = new Stream({ msg: 'm_9', turn: 't', by: 'a_1', name: 'Codex', after: 4, n: 0, text: '', reasoning: '' })
  const live = buildRows({ ...base, messages: messages.slice(1, 4), streams: [stream], cut: true })[0]
  expect(live).toMatchObject({ kind: 'run', newest: true, writes: true, open: false, cut: true, to: at(4) })
})

test('what a program says in a person’s name is nobody’s words', () => {
  const context = message(1, { by: 'u_1', text: '<environment_context>\n<cwd>/home/ada</cwd>\n</environment_context>' })
  expect(buildRows({ ...base, messages: [context, message(2, { by: 'u_1' })] }).map((row) => [row.role, row.own])).toEqual([
    ['system', false], ['user', true],
  ])
})

test('what happened stands above what was said next, or after the last of it', () => {
  const happened = (seq: number) => ({ seq, at: at(5), text: `happened ${seq}`, own: false })
  const notices = [2, 4, 6, 7, 9].map(happened)
  const said = [message(3), message(5), message(8)]
  const above = (more: Partial<Said>) => buildRows({ ...base, messages: said, notices, ...more }).map((row) => row.above ?? [])
  expect(above({})).toEqual([['happened 2'], ['happened 4'], ['happened 6', 'happened 7'], ['happened 9']])
  expect(above({ cut: true, atEnd: false })).toEqual([[], ['happened 4'], ['happened 6', 'happened 7']])
  expect(above({ previous: message(1), pending: [entry] })[3]).toEqual(['happened 9'])
  expect(above({ messages: said.slice(1), previous: said[0] })[0]).toEqual(['happened 4'])
  expect(buildRows({ ...base, messages: said, notices }).map(({ grouped, kind }) => [grouped, kind]).at(-1)).toEqual([false, 'notices'])
})

test('much that happened at once is counted', () => {
  const notices = Array.from({ length: 12 }, (_, index) => ({ seq: 4 + index, at: at(1), text: `${index}`, own: false }))
  expect(buildRows({ ...base, messages: [message(3)], notices }).at(-1)?.above).toEqual(['10 earlier changes', '10', '11'])
})

test('two answers of models that were asked at once stand beside each other, while they are written and after', () => {
  const answer = (seq: number, choice: number) =>
    message(seq, { by: 'a_1', role: 'assistant', reply_to: 'm_1', meta: { choice } })
  const sides = (...more: Message[]) => buildRows({ ...base, messages: [message(1, { by: 'u_1' }), ...more] }).map(({ side }) => side)
  expect(sides(answer(2, 1), answer(3, 0))).toEqual([undefined, 'right', 'left'])
  expect(sides(answer(2, 0), message(3), answer(4, 1))).toEqual([undefined, undefined, undefined, undefined])
  expect(sides(answer(2, 0), answer(3, 1), answer(4, 2))).toEqual([undefined, 'left', 'right', undefined])
  // An API's client has asked for several: those stand below each other.
  expect(sides({ ...answer(2, 0), reply_to: null }, { ...answer(3, 1), reply_to: null })).toEqual([undefined, undefined, undefined])
  const stream = new Stream({ msg: 'm_8', turn: 't', by: 'a_1', name: 'Assistant', after: 1, n: 0, text: '', reasoning: '', choice: 1, model: 'm' })
  const rows = buildRows({ ...base, readSeq: 1, messages: [message(1, { by: 'u_1' }), answer(2, 0)], streams: [stream] })
  expect(rows.map(({ side, firstNew }) => [side, firstNew])).toEqual([[undefined, false], ['left', false], ['right', false]])
})

test('answers to the same words keep the places in which they began, whichever ends first', () => {
  const stream = (id: string, after = 1) => new Stream({ msg: id, turn: `t_${id}`, by: `a_${id}`, name: id, after, n: 0, text: '', reasoning: '' })
  const ended = (id: string, seq: number) => message(seq, { id, by: `a_${id}`, role: 'assistant', meta: { turn: `t_${id}` } })
  const begun = new Map([['t_A', 1], ['t_B', 1], ['t_C', 1], ['t_D', 2]])
  const keys = (messages: Message[], streams: Stream[], more: Partial<Said> = {}) =>
    buildRows({ ...base, begun, messages: [message(1), ...messages], streams, ...more }).map(({ key }) => key)
  const [A, B, C] = [stream('A'), stream('B'), stream('C')]
  const seen = [
    keys([], [A, B, C]), keys([ended('C', 2)], [A, B]), keys([ended('C', 2), ended('A', 3)], [B]), keys([ended('C', 2), ended('A', 3), ended('B', 4)], []),
  ]
  expect(new Set(seen.map((one) => one.join()))).toEqual(new Set(['m_1,A,B,C']))
  // One that another agent set off stands below; what somebody says meanwhile, above what is still written; a reload knows the log alone.
  expect(keys([ended('B', 2)], [A, stream('D', 2)])).toEqual(['m_1', 'A', 'B', 'D'])
  expect(keys([ended('B', 2), message(3)], [A])).toEqual(['m_1', 'B', 'm_3', 'A'])
  expect(keys([ended('B', 2), ended('A', 3)], [], { begun: new Map() })).toEqual(['m_1', 'B', 'A'])
})

test('what happened stays between what was said before it and after, also where an answer kept its place', () => {
  const stream = new Stream({ msg: 'A', turn: 't_A', by: 'a_A', name: 'A', after: 1, n: 0, text: '', reasoning: '' })
  const ended = (id: string, seq: number) => message(seq, { id, by: `a_${id}`, role: 'assistant', meta: { turn: `t_${id}` } })
  const begun = new Map([['t_A', 1], ['t_B', 1]])
  const notices = [{ seq: 3, at: at(5), text: 'Bo joined', own: false }]
  const seen = (messages: Message[], streams: Stream[]) =>
    buildRows({ ...base, begun, notices, messages: [message(1), ...messages], streams }).map(({ key, above, under }) => [key, above?.[0], under])
  const rows = [['m_1', undefined, undefined], ['A', undefined, 'm_1'], ['B', undefined, 'A'], ['notice-3', 'Bo joined', 'B']]
  expect(seen([ended('B', 2)], [stream])).toEqual(rows)
  expect(seen([ended('B', 2), ended('A', 4)], [])).toEqual(rows)
})
