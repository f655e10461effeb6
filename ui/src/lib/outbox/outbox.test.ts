import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { Problem } from '../server/errors'
import { Outbox, type OutboxEntry } from './outbox'
import type { Ack } from '../protocol'
import { MemoryStore } from './storage'

beforeEach(() => void vi.useFakeTimers({ now: 1_790_000_000_000 }))
afterEach(() => void vi.useRealTimers())

const stored = (entry: OutboxEntry, seq = 5): Ack => ({ t: 'ack', cid: entry.cid, state: 'stored', msg: 'm_5', seq })

/** An outbox whose server is answered by hand. */
function setUp(store = new MemoryStore()) {
  const asked: { entry: OutboxEntry; answer: (ack: Ack) => void; fail: (problem: Problem) => void }[] = []
  const outbox = new Outbox(
    store,
    (entry) => new Promise((answer, fail) => void asked.push({ entry, answer, fail })),
  )
  outbox.restore('u_1')
  outbox.setOpen(true)
  return { store, outbox, asked }
}

const settled = () => vi.advanceTimersByTimeAsync(0)

describe('sending', () => {
  test('the models that are asked are those of one message, also after a reload', () => {
    const { outbox, store } = setUp()
    outbox.models = ['a', 'b']
    outbox.add('r_1', 'one')
    outbox.add('r_2', 'two')
    const { asked } = setUp(store)
    expect(Object.fromEntries(asked.map(({ entry }) => [entry.text, entry.models]))).toEqual({ one: ['a', 'b'], two: undefined })
  })

  test('what is written before it is known who one is, is sent as theirs, once', () => {
    const [asked, store]: [OutboxEntry[], MemoryStore] = [[], new MemoryStore()]
    const outbox = new Outbox(store, (entry) => new Promise(() => void asked.push(entry)))
    outbox.add('r_1', 'early')
    outbox.restore('u_1')
    expect(outbox.of('r_1').map(({ text }) => text)).toEqual(['early'])
    outbox.setOpen(true)
    expect(asked.map(({ text, me }) => [text, me])).toEqual([['early', 'u_1']])
    outbox.restore('u_2')
    expect(outbox.of('r_1')).toEqual([])
  })

  test('one message of a room is on its way at a time, in the order of writing', async () => {
    const { outbox, asked } = setUp()
    outbox.add('r_1', 'one')
    outbox.add('r_1', 'two')
    outbox.add('r_2', 'other room')
    expect(asked.map(({ entry }) => entry.text)).toEqual(['one', 'other room'])
    asked[0]!.answer(stored(asked[0]!.entry))
    await settled()
    expect(asked.map(({ entry }) => entry.text)).toEqual(['one', 'other room', 'two'])
  })

  test('a stored message leaves the storage at once and its bubble when it is in the room', async () => {
    const { outbox, asked, store } = setUp()
    const entry = outbox.add('r_1', 'one')
    expect(store.length).toBe(1)
    asked[0]!.answer(stored(entry, 7))
    await settled()
    expect(store.length).toBe(0)
    expect(outbox.of('r_1')).toMatchObject([{ state: 'stored', seq: 7 }])
    outbox.settleUpTo('r_1', 6)
    expect(outbox.of('r_1')).toHaveLength(1)
    outbox.settleUpTo('r_1', 7)
    expect(outbox.of('r_1')).toHaveLength(0)
  })

  test('the event may come before the acknowledgement', async () => {
    const { outbox, asked } = setUp()
    const entry = outbox.add('r_1', 'one')
    outbox.settle(entry.cid)
    asked[0]!.answer(stored(entry))
    await settled()
    expect(outbox.of('r_1')).toHaveLength(0)
  })

  test('a temporary error is tried again with the same cid, after the time the server asks for', async () => {
    const { outbox, asked } = setUp()
    outbox.add('r_1', 'one')
    asked[0]!.fail(new Problem('rate_limited', { temporary: true, retryMs: 3000 }))
    await vi.advanceTimersByTimeAsync(2999)
    expect(asked).toHaveLength(1)
    await vi.advanceTimersByTimeAsync(1)
    expect(asked[1]!.entry.cid).toBe(asked[0]!.entry.cid)
  })

  test('a refused message waits for the person and holds up nobody', async () => {
    const { outbox, asked, store } = setUp()
    const entry = outbox.add('r_1', 'one')
    outbox.add('r_1', 'two')
    asked[0]!.fail(new Problem('text_too_long'))
    await settled()
    expect(outbox.of('r_1')[0]).toMatchObject({ state: 'rejected', code: 'text_too_long' })
    expect(asked[1]!.entry.text).toBe('two')
    expect(store.getItem(`palaver.outbox.${entry.cid}`)).toContain('rejected')
    expect(outbox.discard(entry.cid)?.text).toBe('one')
    expect(store.getItem(`palaver.outbox.${entry.cid}`)).toBe(null)
  })

  test('accepted becomes stored or rejected when the server says so', async () => {
    const { outbox, asked } = setUp()
    const entry = outbox.add('r_1', 'one')
    asked[0]!.answer({ t: 'ack', cid: entry.cid, state: 'accepted', msg: 'm_1', seq: null })
    await settled()
    expect(outbox.of('r_1')[0]!.state).toBe('accepted')
    expect([outbox.accepted, outbox.unsent]).toEqual([1, 0])
    outbox.acknowledged({ t: 'ack', cid: entry.cid, state: 'rejected', msg: 'm_1', seq: null, code: 'forbidden' })
    expect(outbox.of('r_1')[0]).toMatchObject({ state: 'rejected', code: 'forbidden' })
    outbox.resend(entry.cid)
    asked[1]!.answer(stored(entry))
    await settled()
    expect(outbox.of('r_1')[0]!.state).toBe('stored')
  })
})

describe('surviving', () => {
  test('what was not acknowledged is sent after a reload, in order, with the same cids', async () => {
    const first = setUp()
    first.outbox.setOpen(false)
    const cids = ['one', 'two', 'three'].map((text) => {
      vi.advanceTimersByTime(1)
      return first.outbox.add('r_1', text).cid
    })
    const second = setUp(first.store)
    for (let index = 0; index < 3; index++) {
      second.asked[index]!.answer(stored(second.asked[index]!.entry))
      await settled()
    }
    expect(second.asked.map(({ entry }) => entry.cid)).toEqual(cids)
    expect(second.store.length).toBe(0)
  })

  test('a lost connection sends again when it is back', async () => {
    const { outbox, asked } = setUp()
    outbox.add('r_1', 'one')
    outbox.setOpen(false)
    asked[0]!.fail(new Problem('offline', { temporary: true }))
    await settled()
    outbox.setOpen(true)
    expect(asked[1]!.entry.cid).toBe(asked[0]!.entry.cid)
  })

  test('another person in this browser does not send what the first one wrote', () => {
    const { store, outbox } = setUp()
    outbox.setOpen(false)
    outbox.add('r_1', 'mine')
    const send = vi.fn()
    const other = new Outbox(store, send)
    other.restore('u_2')
    other.setOpen(true)
    expect(send).not.toHaveBeenCalled()
    expect(other.of('r_1')).toEqual([])
    expect(store.length).toBe(1)
  })

  test('two tabs neither lose nor overwrite each other’s messages', async () => {
    const store = new MemoryStore()
    const one = setUp(store)
    const two = setUp(store)
    const a = one.outbox.add('r_1', 'from one')
    const b = two.outbox.add('r_1', 'from two')
    expect(store.length).toBe(2)
    one.asked[0]!.answer(stored(a))
    await settled()
    expect(store.getItem(`palaver.outbox.${b.cid}`)).toContain('from two')
  })

  test('a message that was discarded in another tab goes here too', async () => {
    const { outbox, asked } = setUp()
    const entry = outbox.add('r_1', 'one')
    asked[0]!.fail(new Problem('forbidden'))
    await settled()
    outbox.onStorage(`palaver.outbox.${entry.cid}`, null)
    expect(outbox.of('r_1')).toEqual([])
  })

  test('damaged and foreign items are left alone', () => {
    const store = new MemoryStore()
    store.setItem('palaver.outbox.x', '{not json')
    store.setItem('palaver.outbox.y', '{"cid":"z","text":"t"}')
    store.setItem('other', '1')
    expect(setUp(store).asked).toEqual([])
    expect(store.length).toBe(3)
  })

  test('a storage that is full keeps the message on this page', async () => {
    const store = new MemoryStore()
    store.setItem = () => {
      throw new DOMException('full', 'QuotaExceededError')
    }
    const { outbox, asked } = setUp(store)
    outbox.add('r_1', 'one')
    expect(outbox.of('r_1')).toHaveLength(1)
    expect(asked).toHaveLength(1)
  })
})
