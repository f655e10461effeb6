import { expect, test } from 'vitest'
import { message, room } from '../testing'
import { mayDelete } from './deleting'

test('one deletes one’s own words, and who leads a chat all of it, where something can be said', () => {
  const theirs = message(2, { by: 'u_2' })
  for (const [role, own, any] of [['owner', true, true], ['moderator', true, true], ['member', true, false], ['reader', false, false]] as const) {
    const here = room('r_1', { role })
    expect([mayDelete(here, message(3, { by: 'u_me' }), 'u_me'), mayDelete(here, theirs, 'u_me')]).toEqual([own, any])
  }
  expect(mayDelete(room('r_1', { archived_at: 'x' }), theirs, 'u_me')).toBe(false)
  expect(mayDelete(room('r_1'), message(4, { kind: 'tool_result' }), 'u_me')).toBe(false)
  expect(mayDelete(room('r_1', { role: 'member' }), message(5, { became: 'u_me' }), 'u_me')).toBe(true)
})
