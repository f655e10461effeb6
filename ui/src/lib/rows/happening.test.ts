import { expect, test } from 'vitest'
import type { Then } from '../protocol'
import { happening } from './happening'

const ADA = { id: 'u_ada', name: 'Ada' }

function told(k: string, d: Then['d'] = {}, by: Then['by'] = ADA, me = 'u_me'): string {
  const then = { seq: 3, at: '2026-05-03T12:02:00Z', k, by, d, title: 'Now', members: [], more: false }
  return happening(then, me, (actor) => (actor === 'u_bo' ? 'Bo' : undefined)).replace(/[\u2068\u2069]/g, '')
}

test('each moment is told by who did what', () => {
  expect(told('message.created')).toBe('Ada said something')
  expect(told('message.edited')).toBe('Ada edited a message')
  expect(told('message.deleted')).toBe('Ada deleted a message')
  expect(told('message.restored', {}, ADA, 'u_ada')).toBe('You restored a message')
  expect(told('room.renamed', { title: 'Lisbon' })).toBe('Ada named this chat “Lisbon”')
  expect(told('room.renamed', { title: 'Lisbon' }, null)).toBe('This chat was named “Lisbon”')
  expect(told('message.pinned', {})).toBe('Ada pinned a message')
  expect(told('message.unpinned', {})).toBe('Ada took a pinned message off')
  expect(told('reaction.added', { emoji: '🎉' })).toBe('Ada reacted with 🎉')
  expect(told('reaction.removed', { emoji: '🎉' })).toBe('Ada took 🎉 back')
  expect(told('room.created', { title: '' }, null)).toBe('Somebody began this chat')
})

test('who came and went is told as among the messages, by the names that came with it', () => {
  expect(told('member.joined', { actor: 'u_cy', name: 'Cy', role: 'member' })).toBe('Ada added Cy')
  expect(told('member.role', { actor: 'u_bo', role: 'reader', before: 'member' })).toBe('Ada let Bo only read')
  expect(told('member.left', { actor: ADA.id })).toBe('Ada left')
})

test('what nobody has words for is told, too', () => {
  expect(told('room.invented')).toBe('Ada changed something')
})
