import { expect, test } from 'vitest'
import type { Message, Page, Then } from '../protocol'
import { message } from '../../testing'
import { PastLog } from './past'
import { RoomLog } from './room'

const never = (): Promise<never> => Promise.reject(new Error('nobody asks'))

/** A room of which every third event is a message, as it was at its last one. */
function past(count: number) {
  const at = count * 3
  const then: Then = { seq: at, at: '2026-05-03T12:02:00Z', k: 'message.created', by: null, d: {}, title: 'Then', members: [], more: false }
  const all: Message[] = Array.from({ length: count }, (_, index) => message(index * 3 + 3))
  const load = (limit: number, before?: number): Promise<Page> => {
    const there = all.filter(({ seq }) => seq < (before ?? at + 1))
    return Promise.resolve({ messages: there.slice(-limit), before: there.length > limit ? there.at(-limit)!.seq : null, branch: 0, after: null })
  }
  const now = new RoomLog('r', never, never, never, () => undefined)
  const newest = { messages: all.slice(-50), before: all.at(-50)?.seq ?? null, branch: 0, after: null, then }
  return { all, at, now, log: new PastLog(now, newest, load, never) }
}

test('it is read upwards to its first message, is no live room, and nothing waits in it', async () => {
  const { all, at, log, now } = past(300)
  expect([log.newestSeq, log.live, log.hasCid(), log.members]).toEqual([at, false, true, now.members])
  while (log.hasOlder) await log.loadOlder()
  expect(log.messages).toEqual(all)
})

test('the way back down is found although only what is before a seq can be asked for', async () => {
  const { all, log } = past(2000)
  while (log.hasOlder) await log.loadOlder()
  expect([log.messages[0], log.hasNewer]).toEqual([all[0], true])
  const seen = new Set(log.messages)
  while (log.hasNewer) {
    await log.loadNewer()
    for (const one of log.messages) seen.add(one)
  }
  expect(new Set([...seen].map(({ seq }) => seq)).size).toBe(all.length)
})
