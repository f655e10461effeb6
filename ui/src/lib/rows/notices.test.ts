import { expect, test } from 'vitest'
import { event } from '../../testing'
import { noticeOf } from './notices'

const names: Record<string, string> = { u_2: 'Bo', u_3: 'Cy' }
const told = (k: string, d: Record<string, unknown>, me = 'u_1') => noticeOf(event(7, k, d), me, (actor) => names[actor])?.text

test('what happened is said in words, and of oneself as such', () => {
  expect([
    told('member.joined', { actor: 'u_2', via: 'i_1' }), told('member.joined', { actor: 'u_3' }), told('member.joined', { actor: 'u_3' }, 'u_3'),
    told('member.joined', { actor: 'u_3' }, 'u_2'), told('member.left', { actor: 'u_2' }), told('member.left', { actor: 'u_2', deleted: true }), told('member.removed', { actor: 'u_3' }),
    told('member.role', { actor: 'u_3', role: 'reader' }), told('room.transferred', { actor: 'u_9' }), told('room.archived', {}, 'u_2'),
    told('room.visibility', { visibility: 'open', open_to: 'people', open_role: 'reader' }), told('room.visibility', { visibility: 'private' }, 'u_2'),
    told('turn.refused', { agent: 'u_3', code: 'hour_bound' }), told('turn.refused', { agent: 'u_3', code: 'chain_bound' }),
    told('turn.refused', { agent: 'u_3', code: 'stopped' }, 'u_2'), told('turn.refused', { agent: 'u_3', code: 'new' }),
    told('turn.refused', { agent: 'u_3', code: 'budget_reached', budget: 'person', of: 'u_3', period: 'day', until: '2026-12-02T00:00:00Z' }),
    told('turn.refused', { agent: 'u_3', code: 'budget_reached', budget: 'person', of: 'u_1', period: 'month', until: '2027-01-01T00:00:00Z' }),
    told('turn.refused', { agent: 'u_3', code: 'budget_reached', budget: 'server', of: null, period: 'day', until: '2026-12-02T00:00:00Z' }),
    told('turn.refused', { agent: 'u_3', code: 'budget_reached', budget: 'person', of: 'u_1', period: 'day', until: '2026-12-02T00:00:00Z', left: true }),
    told('member.speaks', { actor: 'u_3', before: 'auto', after: 'mentioned' }),
    told('member.settings', { actor: 'u_3', settings: { model: `f_${'0'.repeat(32)}/gpt-5` }, changed: ['model'] }),
    told('member.settings', { actor: 'u_3', settings: { model: 'm', instructions: 'x' }, changed: ['instructions', 'model'] }, 'u_2'),
  ]).toEqual([
    'Bo joined', 'Bo added Cy', 'Bo added you', 'You added Cy', 'Bo left', 'Somebody left for good', 'Bo removed Cy', 'Bo let Cy only read',
    'Bo gave this chat to somebody', 'You archived this chat',
    'Bo opened this chat: everybody with an account may read it', 'You closed this chat to all but who is in it',
    'Agents answered each other very often within an hour. Cy answers them again later.',
    'Agents answered each other as often as they may. Say something to go on.',
    'You stopped Cy before it began', 'Cy does not answer',
    'Cy’s budget for today is used up. It begins anew at 00:00 UTC.',
    'Your budget for this month is used up. It begins anew on January 1, 00:00 UTC.',
    'The server’s budget for today is used up. It begins anew at 00:00 UTC.',
    'Your budget for today has too little left for this question. It begins anew at 00:00 UTC.',
    'Bo let Cy answer when mentioned', 'Bo chose gpt-5 for Cy', 'You changed what Cy is told here',
  ])
  const refused = { agent: 'u_3', code: 'no_right', owner: 'u_1' }
  expect([told('turn.refused', refused), told('turn.refused', refused, 'u_2'), noticeOf(event(7, 'turn.refused', refused), 'u_1', () => 'Cy')?.shares]).toEqual([
    'Cy was not asked: it is yours, and not shared with everyone here.', 'Cy was not asked: it is not shared with everyone here. Its owner can share it.', true,
  ])
  expect([told('room.renamed', { title: 'x' }), told('member.role', { actor: 'u_3', role: 'king' })]).toEqual([undefined, undefined])
})
