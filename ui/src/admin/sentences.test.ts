import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { event } from '../testing'
import { sentenceOf } from './sentences'

const names: Record<string, string> = { u_2: '@bo', u_3: '@cy', a_1: '@maya' }
const said = (k: string, d: Record<string, unknown>, by: string | null = 'u_2') =>
  sentenceOf({ ...event(7, k, d), by }, (id) => names[id], (id) => (id === 'r_1' ? 'Launch' : undefined))

test('what happened is said in sentences, also by whom and to whom nobody knows any more', () => {
  expect([
    said('session.ended', { of: 'u_2' }), said('session.ended', { of: 'u_3' }), said('key.revoked', { of: 'u_9' }),
    said('invite.used', { room: 'r_1' }, 'u_9'), said('invite.created', { room: 'r_9' }), said('account.created', { of: 'u_3', role: 'person' }, null),
    said('account.role', { of: 'u_3', role: 'admin' }), said('account.status', { of: 'u_3', status: 'disabled' }), said('password.changed', { of: 'u_2' }),
    said('account.created', { of: 'u_2', role: 'owner' }),
  ]).toEqual([
    '@bo ended a session of their own', '@bo ended a session of @cy', '@bo revoked an API key of somebody',
    'Somebody came into Launch by a link', '@bo made a link into a chat', 'The command line made an account for @cy',
    '@bo made @cy an admin of the server', '@bo disabled @cy', '@bo chose a new password',
    '@bo became the owner of the server',
  ])
  expect([said('signin.failed', { of: 'u_3', count: 1 }, null), said('signin.failed', { of: '', count: 12 }, null)]).toEqual([
    'Somebody failed to sign in as @cy', 'Somebody failed 12 times to sign in as nobody who is here',
  ])
  expect([
    said('agent.saved', { of: 'a_1', version: 1 }), said('agent.shared', { of: 'a_9', archived: false }), said('key.created', { of: 'a_1' }),
    said('budget.set', { budget: 'person', of: 'u_3', tokens: 9, cost_micros: null }), said('budget.set', { budget: 'server', of: null, tokens: null, cost_micros: null }),
  ]).toEqual([
    '@bo made @maya', '@bo said who may use an agent', '@bo made an API key for @maya', '@bo set a budget for @cy', '@bo removed a budget of this server',
  ])
  expect([
    said('profile.saved', { profile: 'f_1', server: true }), said('profile.saved', { profile: 'f_1', server: false }), said('profile.deleted', { profile: 'f_1', server: true }, null),
  ]).toEqual([
    '@bo connected a model server for everyone', '@bo connected a model server of their own', 'The command line removed a model server of everyone’s',
  ])
  expect(said('some.thing', {})).toBe('@bo changed something that this page does not know')
})

test('every kind of event of the audit room has a sentence', () => {
  const kinds = [...readFileSync('../docs/audit.md', 'utf8').matchAll(/^\| `([a-z]+\.[a-z_]+)` \|/gm)].map((match) => match[1]!)
  expect(kinds.length).toBeGreaterThan(6)
  expect(kinds.filter((kind) => /does not know/.test(said(kind, { of: 'u_3', status: 'active', role: 'admin' })))).toEqual([])
})
