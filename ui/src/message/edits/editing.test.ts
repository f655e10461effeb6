import { expect, test } from 'vitest'
import type { Message, Room } from '../../lib/protocol'
import { message } from '../../testing'
import { answersTo, mayEdit } from './editing'

const room = (role: Room['role'], archived = false): Room => ({ role, archived_at: archived ? 'x' : null }) as Room
const mine = message(2, { by: 'u_me', role: 'user' })
const answer = (seq: number, more: Partial<Message> = {}): Message =>
  message(seq, { by: 'a_1', role: 'assistant', meta: { turn: `t_${seq}` }, ...more })

test('one edits one’s own words, and an owner what agents said; nobody the words of another person', () => {
  expect(mayEdit(room('member'), mine, 'u_me')).toBe(true)
  expect(mayEdit(room('member'), message(3, { by: 'u_guest', became: 'u_me' }), 'u_me')).toBe(true)
  expect(mayEdit(room('owner'), mine, 'u_other')).toBe(false)
  expect(mayEdit(room('owner'), answer(3), 'u_me')).toBe(true)
  expect(mayEdit(room('moderator'), answer(3), 'u_me')).toBe(false)
  expect(mayEdit(room('owner'), answer(3, { by: 'u_other' }), 'u_me')).toBe(false)
})

test('what is not words alone, is gone, or stands where nothing more is said is not edited', () => {
  expect(mayEdit(room('reader'), mine, 'u_me')).toBe(false)
  expect(mayEdit(room('owner', true), mine, 'u_me')).toBe(false)
  for (const more of [{ kind: 'tool_result' }, { deleted_at: 'x' }, { meta: { parts: [] } }, { role: 'system' as const }]) {
    expect(mayEdit(room('owner'), { ...mine, ...more }, 'u_me')).toBe(false)
  }
})

test('of each turn that answered, the first message is asked for again', () => {
  const messages = [
    mine,
    answer(3),
    answer(4, { meta: { turn: 't_3' } }),
    answer(5, { reply_to: mine.id }),
    message(6, { by: 'u_you', role: 'user' }),
    answer(7),
    answer(8, { reply_to: mine.id }),
    answer(9, { reply_to: mine.id, deleted_at: 'x' }),
    answer(10),
  ]
  const begun = new Map([['t_10', 2]])
  expect(answersTo({ messages, begun }, mine).map(({ seq }) => seq)).toEqual([3, 5, 8, 10])
})
