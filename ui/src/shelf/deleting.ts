/** Deleting a message, or all that was said in a chat, and taking it back. */
import type { Cleared, Deleted, Message, Room } from '../lib/protocol'
import { mayName } from '../lib/room/rights'
import type { Calls } from '../lib/server/calls'
import { shelf } from '../lib/texts-inside'
import type { PageState } from '../page.svelte'

const one = (message: string): string => `/messages/${encodeURIComponent(message)}`
const of = (room: string): string => `/rooms/${encodeURIComponent(room)}`

/** Whether the person may delete a message and restore it: their own words, and all where they lead. */
export function mayDelete(room: Room | undefined, { kind, by, became }: Message, me: string): boolean {
  if (!room || room.role === 'reader' || room.archived_at || kind !== 'text') return false
  return mayName(room) || by === me || became === me
}

/** Deletes a message, and says so with the way back. */
export async function remove(page: PageState, message: string): Promise<void> {
  const { api } = page.session
  try {
    await api.call('DELETE', one(message))
    page.toast(shelf.deleted.gone, () => void restore(api, message).catch(page.report))
  } catch (error) {
    page.report(error)
  }
}

export function restore(api: Calls, message: string): Promise<void> {
  return api.call('POST', `${one(message)}/restore`)
}

/** Deletes all that was said in a chat so far, and says so with the way back. */
export async function clear(page: PageState, room: string, title: string): Promise<void> {
  const { api } = page.session
  try {
    const { seq } = await api.call<Cleared>('POST', `${of(room)}/clear`)
    const { cleared, nothing } = shelf.deleted
    if (seq === null) page.toast(nothing)
    else page.toast(cleared(title), () => void unclear(api, room, seq).catch(page.report))
  } catch (error) {
    page.report(error)
  }
}

export function unclear(api: Calls, room: string, seq: number): Promise<void> {
  return api.call('POST', `${of(room)}/unclear`, { seq })
}

export function recently(api: Calls, cursor: string | null): Promise<Deleted> {
  return api.call('GET', `/deleted${cursor === null ? '' : `?cursor=${cursor}`}`)
}
