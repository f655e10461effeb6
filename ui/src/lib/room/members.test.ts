import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import type { Member, MemberList } from '../protocol'
import { member } from '../../testing'
import { Members } from './members'

/** A server that has these members, two a page; `asked` has the cursors. */
function serverOf(...members: Member[]) {
  const server = { members, asked: [] as (string | null)[] }
  const load = (cursor: string | null): Promise<MemberList> => {
    server.asked.push(cursor)
    const from = Number(cursor ?? 0)
    const next = from + 2 < server.members.length ? String(from + 2) : null
    return Promise.resolve({ members: server.members.slice(from, from + 2), next })
  }
  return { server, load }
}

const ids = (members: Members) => members.list?.map((one) => one.id)
const settled = () => vi.advanceTimersByTimeAsync(1000)

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

test('nobody is asked for before somebody looks, and then once', async () => {
  const { server, load } = serverOf(member('u_1'), member('a_1', { kind: 'agent' }))
  const members = new Members(load)
  members.happened()
  await settled()
  expect([server.asked, members.list]).toEqual([[], null])
  members.look()
  members.look()
  await settled()
  expect([server.asked, ids(members), members.people.map((one) => one.id)]).toEqual([[null], ['u_1', 'a_1'], ['u_1']])
})

test('who comes and goes is seen, and many at once are asked for together', async () => {
  const { server, load } = serverOf(member('u_1'))
  const members = new Members(load)
  members.look()
  await settled()
  server.members.push(member('u_2', { name: 'Bo' }))
  for (let count = 0; count < 50; count++) members.happened()
  await settled()
  expect([server.asked.length, ids(members)]).toEqual([2, ['u_1', 'u_2']])
  server.members.pop()
  members.happened()
  await settled()
  expect(ids(members)).toEqual(['u_1'])
})

test('what happens while the list is on its way is asked for after it', async () => {
  const answers: ((list: MemberList) => void)[] = []
  const members = new Members(() => new Promise((resolve) => answers.push(resolve)))
  members.look()
  members.happened()
  await settled()
  expect(answers).toHaveLength(1)
  answers[0]!({ members: [member('u_1')], next: null })
  await settled()
  answers[1]!({ members: [member('u_1'), member('u_2')], next: null })
  await settled()
  expect(ids(members)).toEqual(['u_1', 'u_2'])
})

test('more are loaded when they are asked for, and what was seen stays seen', async () => {
  const { server, load } = serverOf(...['u_1', 'u_2', 'u_3', 'u_4', 'u_5'].map((id) => member(id)))
  const members = new Members(load)
  members.look()
  await settled()
  expect([ids(members), members.hasMore]).toEqual([['u_1', 'u_2'], true])
  await members.more()
  expect([ids(members)?.length, members.hasMore]).toEqual([4, true])
  server.members.shift()
  members.happened()
  await settled()
  expect([ids(members), members.hasMore]).toEqual([['u_2', 'u_3', 'u_4', 'u_5'], false])
})

test('a look that failed keeps what was known, says so, and can be repeated', async () => {
  const { load } = serverOf(member('u_1'))
  const away = vi.fn(load)
  const members = new Members(away)
  members.look()
  await settled()
  away.mockRejectedValueOnce(new Error('away'))
  members.happened()
  await settled()
  expect([members.failed, ids(members)]).toEqual([true, ['u_1']])
  await members.again()
  expect([members.failed, ids(members)]).toEqual([false, ['u_1']])
})

test('who is here is known while somebody else is, and says nothing of who is alone', () => {
  const members = new Members(serverOf().load)
  members.noteHere({ count: 2, people: ['u_1', 'u_2'] })
  expect(members.here).toEqual({ count: 2, people: ['u_1', 'u_2'] })
  members.noteHere({ count: 1, people: ['u_1'] })
  expect(members.here).toBe(null)
})

test('names that look alike are marked, of members and of who only speaks; agents alone bring no look at all', async () => {
  const { load } = serverOf(member('u_00001', { name: 'Ada', handle: 'ada' }))
  const members = new Members(load)
  members.look()
  await settled()
  await members.tellApart([{ id: 'a_1', name: 'Ada' }])
  expect(members.marks.size).toBe(0)
  await members.tellApart([{ id: 'u_00002', name: '\u0410da' }, { id: 'u_00001', name: 'Ada' }])
  expect([...members.marks]).toEqual([['u_00002', '#0002'], ['u_00001', '@ada']])
})

test('who answers depends on what is said, or on whom an agent is for', async () => {
  const agent = (more: Partial<Member>): Member => member('a_1', { kind: 'agent', speaks: 'auto', for_me: true, ...more })
  const company = async (...there: Member[]): Promise<boolean> => {
    const members = new Members(serverOf(...there).load)
    await members.again()
    return members.company
  }
  expect([await company(member('u_1'), agent({})), await company(member('u_1'), agent({ for_me: false }))]).toEqual([false, true])
})
