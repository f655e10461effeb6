import { expect, test } from 'vitest'
import { mayChange, mayTakeBack } from './rights'
import { room } from '../testing'

test('what the server surely refuses is not offered, and everything else is', () => {
  const may = (more: Parameters<typeof room>[1], askedBy: string | null) => mayTakeBack(room('r_1', more), askedBy, 'u_1')
  expect([may({ role: 'owner' }, 'u_2'), may({ role: 'member' }, 'u_1'), may({ role: 'member' }, null)]).toEqual([true, true, true])
  expect([may({ role: 'member' }, 'u_2'), may({ role: 'reader' }, null), may({ role: 'reader' }, 'u_1')]).toEqual([false, false, false])
  expect([may({ role: 'member', door: 'openai' }, 'u_2'), mayTakeBack(undefined, 'u_2', 'u_1')]).toEqual([true, true])
  expect([mayChange(room('r_1')), mayChange(room('r_1', { role: 'member' })), mayChange(undefined)]).toEqual([true, false, false])
})
