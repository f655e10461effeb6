import { expect, test, vi } from 'vitest'
import type { Notices as Reply } from '../protocol'
import { event } from '../../testing'
import { Notices } from './notices'

/** A server where something happened at these seqs. */
function serverOf(...seqs: number[]) {
  const load = vi.fn((after: number, before: number): Promise<Reply> => {
    const events = seqs.filter((seq) => seq > after && seq < before).map((seq) => event(seq, 'member.left', { actor: 'u_9' }))
    return Promise.resolve({ events, people: [{ id: 'u_9', name: 'Cy' }] })
  })
  return { load, notices: new Notices(load) }
}
const seqs = (notices: Notices) => notices.list.map(({ seq }) => seq)

test('each stretch is asked for once, with much that is before it, and what is between two of them too', async () => {
  const { load, notices } = serverOf(5, 5_100, 9_000, 20_050, 20_095, 20_120)
  await notices.cover(20_060, 20_100)
  await notices.cover(20_060, 20_100)
  await notices.cover(16_000, 20_100)
  expect([load.mock.calls, seqs(notices)]).toEqual([[[15_060, 20_100]], [20_050, 20_095]])
  await notices.cover(14_000, 20_130)
  await notices.cover(14_000, 20_130)
  expect([load.mock.calls.slice(1), seqs(notices)]).toEqual([[[9_000, 15_061], [20_099, 20_130]], [20_050, 20_095, 20_120]])
  await notices.cover(5_000, 5_500)
  expect([load.mock.calls.at(-1), seqs(notices)[0], notices.nameOf('u_9')]).toEqual([[0, 5_500], 5, 'Cy'])
})

test('where more happened than is told at once, the rest is asked for later', async () => {
  const { load, notices } = serverOf(...Array.from({ length: 300 }, (_, index) => 1_000 + index))
  load.mockImplementationOnce(async (after, before) => {
    const told = await serverOf(...Array.from({ length: 300 }, (_, index) => 1_000 + index)).load(after, before)
    return { ...told, events: told.events.slice(-200) }
  })
  await notices.cover(1_250, 1_400)
  await notices.cover(1_150, 1_400)
  await notices.cover(1_000, 1_400)
  expect([load.mock.calls, seqs(notices).length]).toEqual([[[0, 1_400], [0, 1_100]], 300])
})

test('what happens now stands at its place, once', async () => {
  const { notices } = serverOf(5)
  await notices.cover(0, 8)
  notices.add(event(8, 'member.joined', { actor: 'u_7', name: 'Bo' }))
  notices.add(event(8, 'member.joined', { actor: 'u_7', name: 'Bo' }))
  expect([seqs(notices), notices.nameOf('u_7')]).toEqual([[5, 8], 'Bo'])
})

test('a failure is asked for again', async () => {
  const { load, notices } = serverOf(5)
  load.mockRejectedValueOnce(new Error('away'))
  await notices.cover(0, 8)
  expect(seqs(notices)).toEqual([])
  await notices.cover(0, 8)
  expect(seqs(notices)).toEqual([5])
})
