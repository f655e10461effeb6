import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { Problem } from '../server/errors'
import { groupsOf, partsOf } from '../rows/groups'
import { newestFirst, Rooms, type Section } from './rooms'
import { created, room } from '../../testing'
import type { Room, RoomNotice } from '../protocol'

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

const at = (minute: number) => `2026-11-20T20:${String(minute).padStart(2, '0')}:00.000Z`

async function setUp(all: Room[], watched: string | null = null) {
  const api = {
    rooms: vi.fn((query: { limit: number; cursor?: string | null; search?: string; pinned?: boolean }) => {
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

const ids = (rooms: Rooms) => rooms.newest(100).map(({ id }) => id)

test('what is said moves a room up and counts as unread, at most a hundred', async () => {
  const { rooms } = await setUp([room('a', { active_at: at(2) }), room('b', { active_at: at(1) })])
  rooms.notice(notice('b', { new: 3 }))
  expect(ids(rooms)).toEqual(['b', 'a'])
  expect(rooms.get('b')?.unread).toBe(3)
  rooms.notice(notice('b', { new: 500 }))
  expect(rooms.get('b')?.unread).toBe(100)
})

test('what is pinned stands on top, out of its family, also where it is not among the newest', async () => {
  const { rooms, api } = await setUp([room('a', { active_at: at(3) }), room('b', { active_at: at(2), parent: 'a' })])
  expect(rooms.isChild('b')).toBe(true)
  const old = room('old', { active_at: at(1), pinned: true })
  api.rooms.mockImplementation(({ pinned }: { pinned?: boolean }) =>
    Promise.resolve(pinned ? { rooms: [old], next: null } : { rooms: [rooms.get('a')!], next: 'more' as string | null }),
  )
  rooms.put({ ...rooms.get('b')!, pinned: true })
  expect(rooms.slice('pinned', 0, 9).map(({ id }) => id)).toEqual(['b'])
  expect(rooms.isChild('b')).toBe(false)
  await rooms.refresh()
  expect(rooms.slice('pinned', 0, 9).map(({ id }) => id)).toEqual(['old'])
  expect(rooms.isChild('b')).toBe(true)
  expect(groupsOf(rooms, new Date(at(50)), false)[0]).toMatchObject({ name: 'Pinned', start: 0, end: 1 })
  rooms.put({ ...old, pinned: false })
  expect(rooms.count('pinned')).toBe(0)
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
  expect(rooms.count('own')).toBe(51)
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

test('the search asks the server, and what it finds joins the list', async () => {
  const { rooms, api, all } = await setUp([room('pear')])
  all.push(room('apple', { active_at: at(1) }))
  expect((await rooms.find(' app ', 5)).map(({ id }) => id)).toEqual(['apple'])
  expect(api.rooms).toHaveBeenLastCalledWith({ limit: 5, search: 'app' })
  expect(ids(rooms)).toEqual(['apple', 'pear'])
})

test('without the server the search finds what is here', async () => {
  const { rooms, api } = await setUp([room('Apple'), room('pear')])
  api.rooms.mockRejectedValue(new Problem('offline', { temporary: true }))
  expect((await rooms.find('apple', 5)).map(({ id }) => id)).toEqual(['Apple'])
})

test('sections: what everyone sees, one’s own, and what programs made', async () => {
  const { rooms } = await setUp([
    room('lobby', { visibility: 'open', role: 'member' }), room('mine'), room('bot', { door: 'openai', visibility: 'open' }),
  ])
  const of = (section: Section) => rooms.slice(section, 0, 9).map(({ id }) => id)
  expect([of('shared'), of('own'), of('programs')]).toEqual([['lobby'], ['mine'], ['bot']])
  rooms.remove('mine')
  expect([of('own'), rooms.placeOf('mine')]).toEqual([[], null])
})

test('all that is unread is counted as it comes and goes', async () => {
  const { rooms } = await setUp([room('a', { seq: 9, read_seq: 2, unread: 7 }), room('b', { unread: 1 })])
  expect(rooms.unreadTotal).toBe(8)
  rooms.notice(notice('b', { new: 2 }))
  rooms.read('a', 9)
  expect(rooms.unreadTotal).toBe(3)
  rooms.remove('b')
  expect(rooms.unreadTotal).toBe(0)
})

test('while somebody points into the list nothing changes its place', async () => {
  const { rooms } = await setUp([room('a', { active_at: at(3) }), room('b', { active_at: at(2) }), room('c', { active_at: at(1) })])
  rooms.hold(true)
  rooms.notice(notice('c'))
  rooms.hold(true)
  expect([ids(rooms), rooms.get('c')?.unread]).toEqual([['a', 'b', 'c'], 1])
  rooms.remove('a')
  expect(ids(rooms)).toEqual(['b', 'c'])
  rooms.hold(false)
  expect(ids(rooms)).toEqual(['c', 'b'])
  rooms.notice(notice('b', { at: at(55) }))
  expect(ids(rooms)).toEqual(['b', 'c'])
})

test('neighbours are those of the list, from one section to the next', async () => {
  const { rooms } = await setUp([
    room('lobby', { visibility: 'open' }), room('new', { active_at: at(2) }), room('old', { active_at: at(1), unread: 1 }),
    room('bot', { door: 'openai' }),
  ])
  const way = (from: string | null, step: 1 | -1, unread = false) => rooms.beside(from, step, unread)?.id
  expect([way('lobby', 1), way('new', 1), way('old', 1), way('bot', 1)]).toEqual(['new', 'old', 'bot', undefined])
  expect([way('bot', -1), way('new', -1), way('lobby', -1)]).toEqual(['old', 'lobby', undefined])
  expect([way(null, 1), way(null, -1), way('lobby', 1, true), way('bot', -1, true)]).toEqual(['lobby', 'bot', 'old', 'old'])
})

test('with 5,000 chats a change compares a few dozen times, and to read the list compares next to nothing', async () => {
  let compared = 0
  const counted = (a: Parameters<typeof newestFirst>[0], b: Parameters<typeof newestFirst>[0]) => {
    compared += 1
    return newestFirst(a, b)
  }
  const during = (work: () => void): number => {
    compared = 0
    work()
    return compared
  }
  const rooms = new Rooms({ rooms: () => Promise.reject(new Error('unused')), room: () => Promise.reject(new Error('unused')) }, () => false, counted)
  const minute = (number: number) => new Date(Date.UTC(2026, 10, 1) + number * 60_000).toISOString()
  for (let number = 0; number < 5000; number++) rooms.put(room(`r${number}`, { active_at: minute(number), unread: 1 }))
  expect(during(() => rooms.notice(notice('r17', { at: minute(6000) })))).toBeLessThan(60)
  expect(during(() => rooms.event({ room: 'r18', seq: 9, k: 'room.renamed', at: minute(1), by: 'u_1', d: { title: 'x' } }))).toBeLessThan(60)
  expect(during(() => rooms.read('r19', 9))).toBeLessThan(60)
  const view = { top: 90_000, height: 900, row: 36, margin: 400 }
  const read = (): Room[] => {
    const parts = partsOf(groupsOf(rooms, new Date(Date.UTC(2026, 10, 3)), false), view)
    return parts.flatMap(({ group, from, to }) => rooms.slice(group.section, from, to))
  }
  expect(during(() => expect(read().length).toBeGreaterThan(20))).toBe(0)
  expect(during(() => expect(rooms.unreadTotal).toBe(5000))).toBe(0)
  const before = during(() => void rooms.beside('r2500', 1, false))
  expect([rooms.newest(2)[0]?.id, before < 60]).toEqual(['r17', true])
  let looked = 0
  const tracked = new Proxy(rooms, {
    get: (target, name) => {
      const value: unknown = Reflect.get(target, name, target)
      if (typeof value !== 'function') return value
      looked += 1
      return (value as (...given: unknown[]) => unknown).bind(target)
    },
  })
  groupsOf(tracked, new Date(), false)
  expect(looked).toBeLessThan(12)
})

test("everyone's room is there, however many others were active later", async () => {
  const everyones = room('r_00000000000070008000006c6f626279', { active_at: at(0), visibility: 'open' })
  const { api } = await setUp([everyones])
  const fresh = new Rooms(api, () => false)
  const newest = () =>
    api.rooms.mockResolvedValueOnce({ rooms: [room('r9', { active_at: at(9) })], next: 'two' }).mockResolvedValueOnce({ rooms: [], next: null })
  newest()
  await fresh.refresh()
  expect(fresh.slice('shared', 0, 9)).toEqual([everyones])
  newest()
  await fresh.refresh()
  expect([fresh.count('shared'), api.room.mock.calls.length]).toEqual([1, 1])
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

const listed = (rooms: Rooms, section: Section = 'programs') => rooms.slice(section, 0, 99).map(({ id }) => id)
const runOf = (id: string, parent: string | null, minute: number, more: Partial<Room> = {}) =>
  room(id, { parent, door: 'openai', active_at: at(minute), ...more })

test('an agent’s runs are folded into their chat, with what is unread there, until somebody is in one of them', async () => {
  const { rooms } = await setUp([
    runOf('main', null, 5), runOf('helper', 'main', 9, { unread: 2 }), runOf('deeper', 'helper', 8, { unread: 1 }), runOf('other', null, 7),
  ])
  expect([listed(rooms), rooms.count('programs')]).toEqual([['other', 'main'], 2])
  expect(rooms.familyOf('main')).toEqual({ count: 2, open: false, unread: 3 })
  rooms.go('deeper')
  expect(listed(rooms)).toEqual(['other', 'main', 'helper', 'deeper'])
  expect([rooms.isChild('deeper'), rooms.isChild('main'), rooms.linesOf('programs', 1), rooms.linesOf('programs', 2)]).toEqual([true, false, 1, 4])
  expect(rooms.familyOf('main')).toEqual({ count: 2, open: true, unread: 0 })
  rooms.go('other')
  expect(listed(rooms)).toEqual(['other', 'main'])
  rooms.unfold('main', true)
  expect(listed(rooms)).toEqual(['other', 'main', 'helper', 'deeper'])
  rooms.unfold('main', false)
  rooms.go('helper')
  expect(listed(rooms)).toEqual(['other', 'main', 'helper'])
})

test('the open chat of a family is seen with it after a reload, in whatever order they come', async () => {
  const family = [runOf('main', null, 5), runOf('helper', 'main', 9), runOf('deeper', 'helper', 8)]
  for (const order of [[0, 1, 2], [2, 1, 0], [1, 0, 2], [2, 0, 1]]) {
    const { rooms, all } = await setUp([])
    rooms.go('deeper')
    for (const place of order) rooms.put(family[place]!)
    expect(listed(rooms)).toEqual(['main', 'helper', 'deeper'])
    all.push(...family)
    await rooms.refresh()
    expect(listed(rooms)).toEqual(['main', 'helper', 'deeper'])
  }
})

test('the open chat of a program is seen, however many newer ones there are', async () => {
  const { rooms } = await setUp([
    runOf('main', null, 1), runOf('helper', 'main', 2), ...[5, 6, 7, 8].map((minute) => runOf(`n${minute}`, null, minute)),
  ])
  const seen = (open: string | null) => groupsOf(rooms, new Date(at(9)), false, open).map(({ end }) => rooms.slice('programs', 0, end).map(({ id }) => id))
  expect(seen(null)).toEqual([['n8', 'n7', 'n6']])
  rooms.go('helper')
  expect(seen('helper')).toEqual([['n8', 'n7', 'n6', 'n5', 'main', 'helper']])
  expect(seen('nobody')).toEqual([['n8', 'n7', 'n6']])
})

test('a family moves together, and comes together in whatever order it is loaded', async () => {
  const { rooms } = await setUp([runOf('deeper', 'helper', 8), runOf('other', null, 7)])
  expect(listed(rooms)).toEqual(['deeper', 'other'])
  rooms.put(runOf('helper', 'main', 3))
  rooms.unfold('helper', true)
  expect(listed(rooms)).toEqual(['other', 'helper', 'deeper'])
  rooms.put(runOf('main', null, 4))
  expect(listed(rooms)).toEqual(['other', 'main'])
  rooms.unfold('main', true)
  rooms.notice(notice('main'))
  expect(listed(rooms)).toEqual(['main', 'deeper', 'helper', 'other'])
  rooms.notice(notice('helper', { at: at(55), new: 0 }))
  expect(listed(rooms)).toEqual(['main', 'helper', 'deeper', 'other'])
  rooms.remove('main')
  expect(listed(rooms)).toEqual(['helper', 'deeper', 'other'])
  rooms.remove('helper')
  expect([listed(rooms), rooms.isChild('deeper')]).toEqual([['deeper', 'other'], false])
})

test('what people say in a chat that came out of another is seen while it is unread', async () => {
  const { rooms } = await setUp([room('a', { active_at: at(2) }), room('thread', { parent: 'a', unread: 1 })])
  expect([listed(rooms, 'own'), rooms.familyOf('a').unread]).toEqual([['a', 'thread'], 0])
  rooms.read('thread', 9)
  expect(listed(rooms, 'own')).toEqual(['a'])
})

test('what is archived or hidden is out of the list, and what is muted or away counts for nothing unread', async () => {
  const { rooms } = await setUp([room('a', { unread: 1 }), room('b', { unread: 2, muted: true }), room('c', { unread: 4 })])
  expect([ids(rooms).length, rooms.unreadTotal]).toEqual([3, 5])
  rooms.put({ ...rooms.get('c')!, archived_at: at(3) })
  rooms.put({ ...rooms.get('a')!, hidden: true })
  expect([ids(rooms), rooms.unreadTotal, rooms.get('c')?.archived_at]).toEqual([['b'], 0, at(3)])
  await rooms.refresh()
  rooms.notice(notice('a', { new: 2 }))
  expect([ids(rooms).sort(), rooms.unreadTotal]).toEqual([['a', 'b', 'c'], 7])
})

test('what came out of an archived chat stands by itself, and under it again when that is back', async () => {
  const { rooms } = await setUp([room('top'), room('child', { parent: 'top' })])
  rooms.go('child')
  expect(rooms.isChild('child')).toBe(true)
  rooms.put({ ...rooms.get('top')!, archived_at: at(3) })
  expect([ids(rooms), rooms.isChild('child')]).toEqual([['child'], false])
  rooms.put({ ...rooms.get('top')!, archived_at: null })
  expect([rooms.isChild('child'), rooms.count('own')]).toEqual([true, 2])
})
