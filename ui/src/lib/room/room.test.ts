import { describe, expect, test, vi } from 'vitest'
import type { Draft, Message, Page, StreamState, SubReset } from '../protocol'
import { RoomLog } from './room'
import { created, event, message, messages, pagesOf } from '../../testing'

const stream: StreamState = { msg: 'm_12', turn: 't_1', by: 'a_1', name: 'Assistant', after: 10, n: 2, text: 'so far', reasoning: '' }

function reset(from: number, to: number, more: Partial<SubReset> = {}): SubReset {
  const before = from > 1 ? from : null
  return { t: 'sub', room: 'r_1', mode: 'reset', reason: 'new', seq: to, messages: messages(from, to), before, branch: 0, streams: [], ...more }
}

const nothing = () => Promise.resolve({ events: [], people: [] })
const nobody = () => Promise.resolve({ members: [], next: null })

function opened(from: number, to: number, more: Partial<SubReset> = {}) {
  const onHole = vi.fn()
  const log = new RoomLog('r_1', pagesOf(1, to), nobody, nothing, onHole)
  log.applySub(reset(from, to, more))
  return { log, onHole }
}

const seqs = (log: RoomLog) => log.messages.map((message) => message.seq)

test('who asked for an answer is known while it is written and after, as far as it was told', () => {
  const { log } = opened(1, 10)
  expect(log.askedBy('m_12')).toBe(null)
  log.openStream(stream)
  expect(log.askedBy('m_12')).toBe('u_2')
  log.applyEvent(created(11, { id: 'm_12', role: 'assistant', by: 'a_1', meta: { turn: stream.turn } }))
  expect(log.askedBy('m_12')).toBe('u_2')
  log.openStream({ ...stream, msg: 'm_13', turn: 't_2', after: 11 })
  expect(log.askedBy('m_13')).toBe('u_2')
  log.openStream({ ...stream, msg: 'm_14', turn: 't_3', after: 99 })
  expect(log.askedBy('m_14')).toBe(null)
})

test('who asked for an answer is known of one that nobody saw being written, and of what agents asked each other', () => {
  const { log } = opened(1, 3)
  const answer = (seq: number, reply_to: string | null, turn: string | undefined): void =>
    log.applyEvent(created(seq, { role: 'assistant', by: 'a_1', reply_to, meta: turn ? { turn } : {} }))
  answer(4, null, 't_4')
  log.applyEvent(created(5, { by: 'u_1' }))
  answer(6, 'm_4', 't_6')
  answer(7, null, undefined)
  answer(8, null, 't_8')
  expect(['m_4', 'm_6', 'm_7', 'm_8'].map((msg) => log.askedBy(msg))).toEqual(['u_2', 'u_2', null, null])
})

describe('order', () => {
  test('events are applied once and in order', () => {
    const { log, onHole } = opened(1, 3)
    for (const seq of [4, 4, 2, 5, 4]) log.applyEvent(created(seq))
    expect(seqs(log)).toEqual([1, 2, 3, 4, 5])
    expect(log.seq).toBe(5)
    expect(onHole).not.toHaveBeenCalled()
  })

  test('after a hole nothing is applied until a resume has filled it', () => {
    const { log, onHole } = opened(1, 3)
    log.applyEvent(created(5))
    log.applyEvent(created(6))
    expect(onHole).toHaveBeenCalledTimes(1)
    expect(seqs(log)).toEqual([1, 2, 3])
    log.applySub({ t: 'sub', room: 'r_1', mode: 'resume', seq: 6, events: [4, 5, 6].map((seq) => created(seq)), streams: [] })
    log.applyEvent(created(7))
    expect(seqs(log)).toEqual([1, 2, 3, 4, 5, 6, 7])
  })

  test('all that somebody said carries the new name', () => {
    const { log } = opened(1, 3)
    const [first] = log.messages
    log.applyEvent(event(4, 'member.renamed', { actor: first!.by, name: 'Adele' }))
    expect(log.messages.map((message) => message.name === 'Adele')).toEqual(log.messages.map((message) => message.by === first!.by))
  })

  test('nothing that somebody said carries the name of who has left for good', () => {
    const { log } = opened(1, 3)
    const [first] = log.messages
    log.applyEvent(event(4, 'member.left', { actor: first!.by, deleted: true }))
    expect(log.messages.map((message) => message.name === '')).toEqual(log.messages.map((message) => message.by === first!.by))
  })

  test('a chat that is deleted says so, and comes back when it is restored', () => {
    const { log } = opened(1, 3)
    log.applyEvent(event(4, 'room.deleted', {}))
    expect(log.problem).toBe('room_deleted')
    log.refused('room_not_found')
    expect(log.problem).toBe('room_deleted')
    log.applySub({ t: 'sub', room: 'r_1', mode: 'resume', seq: 5, events: [event(5, 'room.restored', {})], streams: [] })
    expect(log.problem).toBe(null)
    log.refused('room_not_found')
    expect([log.problem, log.live]).toEqual(['room_not_found', false])
  })

  test('who was taken out of a chat is told so, until they are let in again', () => {
    const { log } = opened(1, 3)
    log.ended('room_not_found')
    log.refused('room_not_found')
    expect([log.problem, log.live]).toEqual(['room_left', false])
    log.applySub({ t: 'sub', room: 'r_1', mode: 'resume', seq: 3, events: [], streams: [] })
    expect([log.problem, log.live]).toEqual([null, true])
  })

  test('what is waited for in vain can be asked for again', async () => {
    const asked: ((page: Page) => void)[] = []
    const log = new RoomLog('r_1', () => new Promise((resolve) => asked.push(resolve)), nobody, nothing, () => undefined)
    log.applySub(reset(51, 100))
    const first = log.loadOlder()
    log.giveUp()
    expect(log.loading).toBe(null)
    const second = log.loadOlder()
    asked[1]!({ messages: messages(1, 50), before: null, after: null, branch: 0 })
    asked[0]!({ messages: messages(1, 50), before: null, after: null, branch: 0 })
    await Promise.all([first, second])
    expect(seqs(log)).toEqual(messages(1, 100).map(({ seq }) => seq))
  })

  test('kinds that are not known still count', () => {
    const { log } = opened(1, 3)
    log.applyEvent(event(4, 'weather.changed', {}))
    log.applyEvent(created(5))
    expect(seqs(log)).toEqual([1, 2, 3, 5])
  })

  test('a resume that repeats what was applied changes nothing twice', () => {
    const { log } = opened(1, 3)
    log.applyEvent(created(4))
    expect(log.lostAt).toBeNull()
    log.lost()
    expect(log.lostAt).not.toBeNull()
    log.applySub({ t: 'sub', room: 'r_1', mode: 'resume', seq: 5, events: [created(4), created(5)], streams: [] })
    expect(log.lostAt).toBeNull()
    expect(seqs(log)).toEqual([1, 2, 3, 4, 5])
  })

  test('a reset forgets what was there', () => {
    const { log } = opened(1, 30)
    log.applySub(reset(900, 950))
    expect(seqs(log)[0]).toBe(900)
    expect(log.seq).toBe(950)
  })

  test('a deleted message keeps its place without its text', () => {
    const { log } = opened(1, 3)
    log.applyEvent(event(4, 'message.deleted', { msg: 'm_2', seq: 2 }))
    expect(log.messages[1]).toMatchObject({ seq: 2, text: '', deleted_at: '2026-11-20T20:01:00.000Z' })
  })

  test('each reaction counts once, whether a page or an event told it first, and the last one takes its kind along', () => {
    const { log } = opened(1, 3)
    const told = (): unknown => log.messages[1]!.reactions?.map(({ emoji, count, people }) => [emoji, count, people.map(({ id }) => id)])
    const react = (seq: number, by: string, emoji: string, kind = 'added'): void =>
      log.applyEvent({ ...event(seq, `reaction.${kind}`, { msg: 'm_2', seq: 2, emoji }), by })
    react(4, 'u_1', '👍')
    react(5, 'u_2', '👍')
    react(6, 'u_2', '👍')
    react(7, 'u_2', '🎉')
    expect(told()).toEqual([['👍', 2, ['u_1', 'u_2']], ['🎉', 1, ['u_2']]])
    react(8, 'u_1', '👍', 'removed')
    react(9, 'u_2', '🎉', 'removed')
    expect(told()).toEqual([['👍', 1, ['u_2']]])
    react(10, 'u_2', '👍', 'removed')
    expect(log.messages[1]).not.toHaveProperty('reactions')
  })

  test('a pin is told by its event, and a star by this person’s own word', () => {
    const { log } = opened(1, 3)
    log.applyEvent(event(4, 'message.pinned', { msg: 'm_2', seq: 2 }))
    log.star(2, true)
    expect([log.messages[1]!.pinned, log.messages[1]!.starred, log.pins]).toEqual([true, true, 1])
    log.applyEvent(event(5, 'message.unpinned', { msg: 'm_2', seq: 2 }))
    log.star(2, false)
    expect([log.messages[1]!.pinned, log.messages[1]!.starred, log.pins]).toEqual([false, false, 2])
  })

  test('a restored message gets its text back from the server', async () => {
    const { log } = opened(1, 3)
    log.applyEvent(event(4, 'message.deleted', { msg: 'm_2', seq: 2 }))
    log.applyEvent(event(5, 'message.restored', { msg: 'm_2', seq: 2 }))
    await vi.waitFor(() => expect(log.messages[1]!.text).toBe('text 2'))
  })

  test('what was cleared is gone, and is loaded again once it is back', async () => {
    const { log } = opened(4, 9)
    log.applyEvent(created(10))
    log.applyEvent(event(11, 'room.cleared', { upto: 9, since: 0 }))
    expect([seqs(log), log.hasOlder]).toEqual([[10], false])
    log.applyEvent(event(12, 'room.uncleared', { upto: 9, since: 0, cleared: 11 }))
    await vi.waitFor(() => expect(seqs(log)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]))
  })
})

describe('streams', () => {
  test('the final message replaces the stream with its id', () => {
    const { log } = opened(1, 10, { streams: [stream] })
    expect(log.streams.get('m_12')?.text).toBe('so far')
    log.applyEvent(created(11))
    expect(log.streams.size).toBe(1)
    log.applyEvent(created(12, { role: 'assistant' }))
    expect(log.streams.size).toBe(0)
    log.delta('m_12', 3, 'late', '')
    log.openStream(stream)
    expect(log.streams.size).toBe(0)
  })

  test('a repeated delta is dropped', () => {
    const { log } = opened(1, 10, { streams: [stream] })
    log.delta('m_12', 3, ' and', 'hm')
    log.delta('m_12', 3, ' and', 'hm')
    log.delta('m_12', 9, ' on', '')
    expect(log.streams.get('m_12')).toMatchObject({ text: 'so far and on', reasoning: 'hm' })
  })

  test('the first piece says that a program has taken an answer up, also one without words', () => {
    const { log } = opened(1, 10)
    log.openStream({ ...stream, n: 0, text: '' })
    log.openStream({ ...stream, n: 0, text: '', waits: true })
    expect([...log.streams.values()].map(({ waits }) => waits)).toEqual([true])
    const changed = vi.fn()
    log.changed.subscribe(changed)
    log.delta('m_12', 1, '', '')
    log.delta('m_12', 2, 'Here', '')
    expect([log.streams.get('m_12')?.waits, changed.mock.calls.length]).toEqual([false, 1])
    log.applySub(reset(1, 10, { streams: [{ ...stream, waits: true }, { ...stream, msg: 'm_13' }] }))
    expect([...log.streams.values()].map(({ waits }) => waits)).toEqual([true, false])
  })

  test('a new subscription says which streams there are', () => {
    const { log } = opened(1, 10, { streams: [stream, { ...stream, msg: 'm_13' }] })
    log.applySub({ t: 'sub', room: 'r_1', mode: 'resume', seq: 10, events: [], streams: [{ ...stream, n: 9, text: 'all' }] })
    expect([...log.streams.values()].map(({ msg, text }) => [msg, text])).toEqual([['m_12', 'all']])
    log.end('m_12')
    expect(log.streams.size).toBe(0)
  })
})

describe('drafts', () => {
  const draft: Draft = { msg: 'm_11', by: 'u_2', name: 'Bo', text: 'kept', cid: 'c1', at: '2026-11-20T20:00:00.000Z' }

  test('the message with its id replaces a draft, which then stays away', () => {
    const { log } = opened(1, 10)
    log.noteDraft(draft)
    log.noteDraft({ ...draft, msg: 'm_12' })
    log.applyEvent(created(11))
    log.noteDraft(draft)
    expect([...log.drafts.keys()]).toEqual(['m_12'])
    expect(seqs(log).at(-1)).toBe(11)
  })

  test('a draft goes when it ends, or when the room is read anew', () => {
    const { log } = opened(1, 10)
    log.noteDraft(draft)
    log.end('m_11')
    expect(log.drafts.size).toBe(0)
    log.noteDraft(draft)
    log.lost()
    expect(log.drafts.size).toBe(1)
    log.applySub({ t: 'sub', room: 'r_1', mode: 'resume', seq: 10, events: [], streams: [] })
    expect(log.drafts.size).toBe(0)
  })
})

describe('history', () => {
  test('older pages join without a gap or a repeat', async () => {
    const { log } = opened(951, 1000)
    await log.loadOlder()
    await log.loadOlder()
    expect(seqs(log)).toEqual(messages(751, 1000).map(({ seq }) => seq))
    expect(log.hasOlder).toBe(true)
  })

  test('two calls at once load one page', async () => {
    const { log } = opened(951, 1000)
    await Promise.all([log.loadOlder(), log.loadOlder()])
    expect(seqs(log)[0]).toBe(851)
  })

  test('in a room of 100,000 what is kept stays bounded all the way up, and the way back is whole', async () => {
    const { log } = opened(99_951, 100_000)
    for (let page = 0; page < 40; page++) await log.loadOlder()
    expect(log.messages.length).toBeLessThanOrEqual(1200)
    expect(log.hasNewer).toBe(true)
    const seen = new Set<number>()
    while (log.hasNewer) {
      await log.loadNewer()
      for (const seq of seqs(log)) seen.add(seq)
      expect(log.messages.length).toBeLessThanOrEqual(1400)
      const list = seqs(log)
      expect(list).toEqual(list.map((_, index) => list[0]! + index))
    }
    expect(seqs(log).at(-1)).toBe(100_000)
  })

  test('what arrives while the reader is far up is there when they come back', async () => {
    const { log } = opened(99_951, 100_000)
    expect(await log.goTo(50_000)).toBe(true)
    expect(seqs(log)).toContain(50_000)
    log.applyEvent(created(100_001))
    expect(seqs(log)).not.toContain(100_001)
    expect(log.countAfter(100_000, 'u_me')).toBe(1)
    log.leaveIsland()
    expect(seqs(log).slice(-2)).toEqual([100_000, 100_001])
  })

  test('a place that is already here needs no page', async () => {
    const { log } = opened(1, 30)
    expect(await log.goTo(7)).toBe(true)
    expect(log.hasNewer).toBe(false)
    expect(seqs(log)).toHaveLength(30)
  })

  test('a page that comes after a reset is not mixed in', async () => {
    const { log } = opened(951, 1000)
    const loading = log.loadOlder()
    log.applySub(reset(2000, 2010))
    await loading
    expect(seqs(log)[0]).toBe(2000)
    expect(log.loading).toBe(null)
  })

  test('a failed page can be asked for again', async () => {
    const load = vi.fn().mockRejectedValueOnce(new Error('away')).mockImplementation(pagesOf(1, 1000))
    const log = new RoomLog('r_1', load, nobody, nothing, () => undefined)
    log.applySub(reset(951, 1000))
    await log.loadOlder()
    expect(log.failed).toBe(true)
    await log.loadOlder()
    expect(log.failed).toBe(false)
    expect(seqs(log)[0]).toBe(851)
  })

  test('at the newest message the far past is let go', async () => {
    const { log } = opened(951, 1000)
    for (let page = 0; page < 11; page++) await log.loadOlder()
    const before = log.messages.length
    for (let seq = 1001; log.messages.length <= 1200 && seq < 1400; seq++) log.applyEvent(created(seq))
    expect(before).toBeGreaterThan(900)
    log.trim()
    expect(log.messages.length).toBe(200)
    expect(log.hasOlder).toBe(true)
  })
})

describe('branches', () => {
  const other = (seq: number): Message => message(seq, { branch: 1 })

  function parted() {
    const asked: [object, number | undefined][] = []
    const onHole = vi.fn()
    const load = vi.fn((place: { around?: number }, _limit: number, branch?: number): Promise<Page> => {
      asked.push([place, branch])
      const path = branch === 1 || place.around === 6 ? [...messages(1, 3), other(6)] : messages(1, 5)
      return Promise.resolve({ messages: path, before: null, after: null, branch: path.length === 4 ? 1 : 0 })
    })
    const log = new RoomLog('r_1', load, nobody, nothing, onHole)
    log.applySub(reset(1, 5))
    log.applyEvent(created(6, { branch: 1 }))
    return { log, asked, onHole }
  }

  test('what is said on another path is not here, and counts', () => {
    const { log } = parted()
    expect([seqs(log), log.seq]).toEqual([[1, 2, 3, 4, 5], 6])
  })

  test('an answer on another path is not here until one goes over to it', async () => {
    const { log } = parted()
    log.openStream({ ...stream, branch: 1 })
    expect([...log.streams.keys()]).toEqual([])
    await log.look(1)
    expect([...log.streams.keys()]).toEqual(['m_12'])
  })

  test('one goes over to another path, and hears what is said there', async () => {
    const { log, asked, onHole } = parted()
    expect(await log.look(1, 3)).toBe(true)
    expect(asked).toEqual([[{ around: 3 }, 1]])
    log.applyEvent(created(7, { branch: 1 }))
    log.applyEvent(created(8))
    expect([log.branch, log.turned, seqs(log)]).toEqual([1, 1, [1, 2, 3, 6, 7]])
    expect(onHole).not.toHaveBeenCalled()
  })

  test('what happened while one went over is heard again', async () => {
    const { log, onHole } = parted()
    const going = log.look(1)
    log.applyEvent(created(7, { branch: 1 }))
    await going
    expect([log.seq, log.live, onHole.mock.calls.length]).toEqual([6, false, 1])
    log.applySub({ t: 'sub', room: 'r_1', mode: 'resume', seq: 7, events: [created(7, { branch: 1 })], streams: [] })
    expect(seqs(log)).toEqual([1, 2, 3, 6, 7])
  })

  test('who steps on before a page has come sees the last one that they asked for', async () => {
    const { log } = parted()
    await Promise.all([log.look(1), log.look(0)])
    expect([log.branch, seqs(log)]).toEqual([0, [1, 2, 3, 4, 5]])
  })

  test('a message on another path is gone to there, also where its place lies between those that are here', async () => {
    const { log } = parted()
    log.applyEvent(created(7))
    expect(await log.goTo(6)).toBe(true)
    expect([log.branch, seqs(log)]).toEqual([1, [1, 2, 3, 6]])
  })

  test('far from the newest one reads on there, and what is said now is still heard', async () => {
    const pages = pagesOf(1, 500)
    const log = new RoomLog('r_1', async (place, limit) => {
      const page = await pages(place, limit)
      return { ...page, branch: 1, messages: page.messages.map((one) => ({ ...one, branch: 1 })) }
    }, nobody, nothing, () => undefined)
    log.applySub(reset(451, 500))
    await log.look(1, 100)
    expect([log.branch, log.hasNewer, seqs(log).includes(100)]).toEqual([1, true, true])
    log.applyEvent(created(501, { branch: 1 }))
    log.leaveIsland()
    expect(seqs(log)).toEqual([501])
    await log.loadOlder()
    expect([seqs(log)[0], seqs(log).at(-1)]).toEqual([401, 501])
  })
})
