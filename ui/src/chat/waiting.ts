/** Who waits to answer in a chat in which agents answer one after the other. */
import type { Room } from '../lib/protocol'
import type { Members } from '../lib/room/members'
import type { RoomLog } from '../lib/room/room'
import { answering, listenersOf, type Listener } from '../lib/room/speaking'

/** Those who answer the same words as who writes now, and neither have nor do. */
export function waitingIn({ messages, streams, notices, members }: RoomLog, room: Room | undefined, me: string | undefined): Listener[] {
  const first = streams.values().next().value
  const question = first && messages.find(({ seq }) => seq === first.after)
  if (room?.turns !== 'in_turn' || question?.role !== 'user') return []
  const came = new Set([
    ...[...streams.values()].map(({ by }) => by),
    ...messages.filter(({ seq, role }) => seq > question.seq && role === 'assistant').map(({ by }) => by),
    ...notices.list.filter(({ seq, k }) => seq > question.seq && k === 'turn.refused').map(({ d }) => d.agent),
  ])
  const listeners = listenersOf(members.list ?? [], room.visibility === 'private')
  return answering(question.text, listeners, handlesOf(members)).filter((one) => !came.has(one.id) && (one.forMe || question.by !== me))
}

/** The people whom a handle may mean. */
export function handlesOf({ people }: Members): Map<string, string> {
  return new Map(people.flatMap(({ id, handle }) => (handle ? [[handle, id]] : [])))
}
