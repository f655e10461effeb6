import { expect, test } from 'vitest'
import { mayGovern, mayInvite, mayName, mayTakeBack } from './rights'
import { mayRemove, rolesFor } from './roles'
import { room } from '../../testing'
import type { MemberRole } from '../protocol'

const ROLES: readonly MemberRole[] = ['owner', 'moderator', 'member', 'reader']

test('what the server surely refuses is not offered, and everything else is', () => {
  const may = (more: Parameters<typeof room>[1], askedBy: string | null) => mayTakeBack(room('r_1', more), askedBy, 'u_1')
  expect([may({ role: 'owner' }, 'u_2'), may({ role: 'moderator' }, 'u_2'), may({ role: 'member' }, 'u_1'), may({ role: 'member' }, null)]).toEqual([
    true, true, true, true,
  ])
  expect([may({ role: 'member' }, 'u_2'), may({ role: 'reader' }, null), may({ role: 'reader' }, 'u_1')]).toEqual([false, false, false])
  expect([may({ role: 'member', door: 'openai' }, 'u_2'), mayTakeBack(undefined, 'u_2', 'u_1')]).toEqual([true, true])
})

test('a moderator names and invites, and only an owner says who leads', () => {
  const rooms = ROLES.map((role) => room('r_1', { role }))
  expect(rooms.map(mayGovern)).toEqual([true, false, false, false])
  expect(rooms.map(mayName)).toEqual([true, true, false, false])
  expect(rooms.map(mayInvite)).toEqual([true, true, false, false])
  expect([mayInvite(room('r_1', { visibility: 'open' })), mayGovern(undefined), mayName(undefined), mayInvite(undefined)]).toEqual([
    false, false, false, false,
  ])
})

test('each role can be given to those over whom one stands, and no other', () => {
  const given = (mine: MemberRole) => ROLES.map((theirs) => rolesFor(mine, theirs).join(' '))
  expect(given('owner')).toEqual(['moderator member reader', 'owner member reader', 'owner moderator reader', 'owner moderator member'])
  expect(given('moderator')).toEqual(['', '', 'reader', 'member'])
  expect([...given('member'), ...given('reader')].join('')).toBe('')
  expect(ROLES.map((theirs) => mayRemove('moderator', theirs))).toEqual([false, false, true, true])
})
