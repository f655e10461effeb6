/** The calls of REST about marks. */
import type { Calls } from '../lib/server/calls'
import type { Message, Pins, StarredPage } from '../lib/protocol'

export async function pinsOf(calls: Calls, room: string): Promise<Message[]> {
  return (await calls.call<Pins>('GET', `/rooms/${encodeURIComponent(room)}/pins`)).messages
}

export function starred(calls: Calls, cursor: string | null): Promise<StarredPage> {
  return calls.call('GET', `/starred${cursor === null ? '' : `?cursor=${encodeURIComponent(cursor)}`}`)
}

/** Takes a pin or a star off. */
export function takeOff(calls: Calls, message: Message, mark: 'pin' | 'star'): Promise<void> {
  return calls.call('DELETE', `/messages/${message.id}/${mark}`)
}
