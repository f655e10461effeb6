import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { Problem } from './errors'
import { Rooms } from './rooms'
import { created, room } from './testing'
import type { Room, RoomNotice } from './protocol'

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

const at = (minute: number) => `2026-11-20T20:${String(minute).padStart(2, '0')}:00.000Z`

async function setUp(all: Room[], watched: string | null = null) {
  const api = {
    rooms: vi.fn((query: { limit: number; cursor?: string | null; search?: string }) => {
      const found = all.filter((candidate) => candidate.title.includes(query.search ?? ''))
      return Promise.resolve({ rooms: found.sort((a, b) => (a.active_at < b.active_at ? 1 : -1)), next: null as string | null })
    }),
    room: vi.fn((id: string) => {
      const found = all.find((candidate) => candidate.id === id)
      return found ? Promise.resolve(found) : Promise.reject(new Problem('room_not_found', { status: 404 }))
    }),
  }
  const rooms = new Rooms(api, (id) => id === watched)
  await rooms.refresh()
  return { rooms, api, all }
}

const notice = (id: string, more: Partial<RoomNotice> = {}): RoomNotice => ({
  t: 'room', room: id, seq: 9, at: at(50), new: 1, k: ['message.created'], ...more,
})

const ids = (rooms: Rooms) => rooms.list.map(({ id }) => id)

test('what is said moves a room up and counts as unread, at most a hundred', async () => {
  const { rooms } = await setUp([room('a', { active_at: at(2) }), room('b', { active_at: at(1) })])
  rooms.notice(notice('b', { new: 3 }))
  expect(ids(rooms)).toEqual(['b', 'a'])
  expect(rooms.get('b')?.unread).toBe(3)
  rooms.notice(notice('b', { new: 500 }))
  expect(rooms.get('b')?.unread).toBe(100)
})

test('a crowd of new rooms is asked for together', async () => {
  const { rooms, api, all } = await setUp([room('a')])
  for (let number = 0; number < 50; number++) {
    all.push(room(`n${number}`))
    rooms.notice(notice(`n${number}`, { k: ['room.created'] }))
  }
  expect(api.room.mock.calls.length).toBeLessThan(10)
  await vi.advanceTimersByTimeAsync(3000)
  expect(api.room.mock.calls.length).toBeLessThan(10)
  expect(api.rooms).toHaveBeenCalledTimes(2)
  expect(rooms.list).toHaveLength(51)
})

test('nothing is unread in the room one is looking at', async () => {
  const { rooms } = await setUp([room('a')], 'a')
  rooms.notice(notice('a'))
  expect(rooms.get('a')?.unread).toBe(0)
})

test('an unknown room is fetched, one that is gone leaves', async () => {
  const { rooms, all } = await setUp([room('a')])
  all.push(room('c', { active_at: at(40) }))
  rooms.notice(notice('c'))
  await vi.waitFor(() => expect(ids(rooms)).toEqual(['c', 'a']))
  all.splice(0, 1)
  rooms.notice(notice('a', { k: ['room.renamed'] }))
  await vi.waitFor(() => expect(ids(rooms)).toEqual(['c']))
})

test('a deleted room leaves without being asked for, one that was restored meanwhile is fetched', async () => {
  const { rooms, api } = await setUp([room('a'), room('b')])
  rooms.notice(notice('a', { k: ['room.deleted'] }))
  expect(ids(rooms)).toEqual(['b'])
  expect(api.room).not.toHaveBeenCalled()
  rooms.notice(notice('a', { k: ['room.deleted', 'room.restored'] }))
  await vi.waitFor(() => expect(ids(rooms)).toContain('a'))
})

test('reading all of it clears the count, reading a part asks the server', async () => {
  const { rooms, api } = await setUp([room('a', { seq: 9, read_seq: 2, unread: 7 })])
  rooms.read('a', 5)
  expect(api.room).toHaveBeenCalledWith('a')
  rooms.read('a', 9)
  expect(rooms.get('a')?.unread).toBe(0)
})

test('the search waits for a pause and shows only what was last asked for', async () => {
  const { rooms, api } = await setUp([room('apple'), room('pear')])
  api.rooms.mockClear()
  for (const text of ['p', 'pe', 'pea']) rooms.setSearch(text)
  await vi.advanceTimersByTimeAsync(250)
  expect(api.rooms).toHaveBeenCalledTimes(1)
  expect(ids(rooms)).toEqual(['pear'])
  rooms.setSearch('')
  expect(ids(rooms)).toHaveLength(2)
})

test('without the server the search finds what is here', async () => {
  const { rooms, api } = await setUp([room('Apple'), room('pear')])
  api.rooms.mockRejectedValue(new Problem('offline', { temporary: true }))
  rooms.setSearch('apple')
  await vi.advanceTimersByTimeAsync(250)
  expect(ids(rooms)).toEqual(['Apple'])
})

test('further pages join, and a refresh keeps them while it drops what is gone', async () => {
  const { rooms, api } = await setUp([])
  const page = (from: number, next: string | null, without: number[] = []) => ({
    rooms: [from, from - 1].filter((n) => !without.includes(n)).map((n) => room(`r${n}`, { active_at: at(n) })),
    next,
  })
  const fresh = new Rooms(api, () => false)
  api.rooms.mockResolvedValueOnce(page(9, 'two')).mockResolvedValueOnce(page(7, null))
  await fresh.refresh()
  await fresh.more()
  expect(ids(fresh)).toEqual(['r9', 'r8', 'r7', 'r6'])
  expect(fresh.hasMore).toBe(false)
  api.rooms.mockResolvedValueOnce(page(9, 'two', [9]))
  await fresh.refresh()
  expect(ids(fresh)).toEqual(['r8', 'r7', 'r6'])
  expect(rooms.loaded).toBe(true)
})

test('an open room’s own events rename and lift it', async () => {
  const { rooms, api } = await setUp([room('r_1', { active_at: at(1) })])
  rooms.event({ room: 'r_1', seq: 4, k: 'room.renamed', at: at(2), by: 'u_1', d: { title: 'New name', source: 'model' } })
  expect(rooms.get('r_1')?.title).toBe('New name')
  api.room.mockResolvedValueOnce(room('r_1', { title: '', seq: 1 }))
  await rooms.reload('r_1')
  expect(rooms.get('r_1')?.title).toBe('New name')
  rooms.event({ ...created(5), at: at(30) })
  expect(rooms.get('r_1')).toMatchObject({ seq: 5, active_at: at(30) })
})
