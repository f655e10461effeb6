/**
 * Which chats came out of which, such as the runs of an agent's helpers: they stand under the topmost one, folded.
 *
 * A family is seen whole while somebody is in one of its chats, or asked for it; an unread chat of people is always seen.
 */
import type { Room } from '../protocol'

const DEPTH_MAX = 20

/** The chat under which this one stands: out of which it came, unless it is pinned. */
export function parentOf(room: Room | undefined): string | null {
  return room?.pinned ? null : (room?.parent ?? null)
}

export class Families {
  /** The chats that came out of one directly. */
  #children = new Map<string, Set<string>>()
  /** What somebody said about a family: open, or not. */
  #asked = new Map<string, boolean>()
  #current: string | null = null

  /** Whose child a chat is; `before`: whose it was. */
  note(id: string, parent: string | null, before: string | null): void {
    if (parent === before) return
    if (before !== null) this.#children.get(before)?.delete(id)
    if (before !== null && this.#children.get(before)?.size === 0) this.#children.delete(before)
    if (parent !== null) this.#children.set(parent, (this.#children.get(parent) ?? new Set()).add(id))
  }

  /** The topmost chat that is known out of which this one came; itself, where there is none. */
  topOf(id: string, get: (id: string) => Room | undefined): string {
    let top = id
    for (let depth = 0; depth < DEPTH_MAX; depth++) {
      const parent = parentOf(get(top))
      if (!parent || !get(parent) || parent === id) break
      top = parent
    }
    return top
  }

  /** All that came out of a chat, however far down. */
  below(id: string, get: (id: string) => Room | undefined, depth = DEPTH_MAX): Room[] {
    const rooms = [...(this.#children.get(id) ?? [])].flatMap((child) => get(child) ?? [])
    return depth === 0 ? rooms : rooms.flatMap((room) => [room, ...this.below(room.id, get, depth - 1)])
  }

  isOpen(top: string, get: (id: string) => Room | undefined): boolean {
    const current = this.#current
    return this.#asked.get(top) ?? (current !== null && this.topOf(current, get) === top)
  }

  /** Whether a chat of a family stands in the list. */
  isShown(room: Room, top: string, get: (id: string) => Room | undefined): boolean {
    if (room.id === top || room.id === this.#current) return true
    return this.isOpen(top, get) || (room.door === null && room.unread > 0)
  }

  ask(top: string, open: boolean): void {
    this.#asked.set(top, open)
  }

  /** Somebody goes to this chat; the one where they were. */
  go(id: string | null): string | null {
    const before = this.#current
    this.#current = id
    return before
  }
}
