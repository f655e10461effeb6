import { expect, test } from 'vitest'
import { groupsOf, HEADING_PX, partsOf, ROWS_MAX } from './groups'
import { Rooms } from '../list/rooms'
import { room } from '../../testing'

const now = new Date(2026, 10, 20, 15, 0, 0)
const ago = (hours: number) => new Date(now.getTime() - hours * 3_600_000).toISOString()
const fail = () => Promise.reject(new Error('unused'))

function listOf(...made: ReturnType<typeof room>[]): Rooms {
  const rooms = new Rooms({ rooms: fail, room: fail }, () => false)
  for (const one of made) rooms.put(one)
  return rooms
}

test('groups are everyone’s chats, one’s own by their day, and the newest of programs', () => {
  const programs = [1, 2, 3, 4].map((hour) => room(`p${hour}`, { door: 'openai', active_at: ago(hour) }))
  const rooms = listOf(
    room('lobby', { visibility: 'open', active_at: ago(900) }), room('a', { active_at: ago(1) }), room('b', { active_at: ago(2) }),
    room('c', { active_at: ago(24) }), room('d', { active_at: ago(24 * 90) }), ...programs,
  )
  const told = groupsOf(rooms, now, false).map(({ name, section, start, end }) => [name, rooms.slice(section, start, end).map(({ id }) => id)])
  expect(told).toEqual([
    ['Shared', ['lobby']], ['Today', ['a', 'b']], ['Yesterday', ['c']], ['Older', ['d']], ['From programs', ['p1', 'p2', 'p3']],
  ])
  expect(groupsOf(rooms, now, true).at(-1)).toMatchObject({ start: 0, end: 4 })
})

test('only rows near the view are made, in their places, and never more than is allowed', () => {
  const groups = [
    { name: 'Shared', section: 'shared', start: 0, end: 1 },
    { name: 'Older', section: 'own', start: 0, end: 5000 },
  ] as const
  const row = 36
  const at = (top: number, height = 900) => partsOf(groups, { top, height, row, margin: 100 })
  for (const top of [0, 1234, 90_000, 5001 * row + 2 * HEADING_PX - 900]) {
    const parts = at(top)
    expect(parts.reduce((sum, part) => sum + part.to - part.from, 0)).toBeLessThanOrEqual(ROWS_MAX)
    for (const { group, from, to, above, below } of parts) {
      expect(above + (to - from) * row + below).toBe((group.end - group.start) * row)
    }
    const first = 2 * HEADING_PX + row + parts[1]!.above
    expect(first <= top || parts[1]!.from === 0).toBe(true)
    expect(first + (parts[1]!.to - parts[1]!.from) * row >= top + 900 || parts[1]!.to === 5000).toBe(true)
  }
  expect(at(0, 100_000)[1]!.to).toBe(ROWS_MAX - 1)
})
