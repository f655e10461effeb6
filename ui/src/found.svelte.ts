/** The search for chats by their titles, while somebody writes what they look for. */
import type { Rooms } from './lib/list/rooms'
import type { Room } from './lib/protocol'

export const SEARCH_MS = 120

/** What was found for the `query`; null while nothing is looked for, or not yet found. */
export function foundRooms(rooms: Rooms, query: () => string, most: number): { readonly current: Room[] | null } {
  let found: Room[] | null = $state.raw(null)
  $effect(() => {
    const wanted = query().trim()
    if (wanted === '') {
      found = null
      return
    }
    const timer = setTimeout(async () => {
      const answer = await rooms.find(wanted, most)
      if (query().trim() === wanted) found = answer
    }, SEARCH_MS)
    return () => clearTimeout(timer)
  })
  return {
    get current() {
      return found
    },
  }
}
