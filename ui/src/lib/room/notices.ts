/**
 * What is told among the messages of a room: who came and went, has another role, and what became of the room.
 *
 * Messages come without it. What happens now comes by events; what happened before is asked for, once, between the
 * first and the last message that are here. It is the same log, so a seq says between which messages it stands.
 */
import { Emitter } from '../emitter'
import type { Notices as Reply, RoomEvent } from '../protocol'

/** So many seqs before what is asked for are asked for with it: there is seldom much of this. */
const AHEAD = 5000
/** The most that the server tells at once. */
const TOLD_MAX = 200

export type LoadNotices = (after: number, before: number) => Promise<Reply>

export class Notices {
  readonly changed = new Emitter()
  /** By seq, oldest first. */
  list: readonly RoomEvent[] = []
  /** What happened before was asked for, and told or not. */
  asked = false
  readonly #names = new Map<string, string>()
  #load: LoadNotices
  /** What is here: between these two seqs, without them; null before anything was asked for. */
  #from: number | null = null
  #to = 0
  #asking = false

  constructor(load: LoadNotices) {
    this.#load = load
  }

  /** What somebody is called, as far as it was told. */
  nameOf(actor: string): string | undefined {
    return this.#names.get(actor)
  }

  called(actor: string, name: string): void {
    this.#names.set(actor, name)
  }

  /** It happened just now. */
  add(event: RoomEvent): void {
    const { actor, name } = event.d
    if (typeof actor === 'string' && typeof name === 'string') this.#names.set(actor, name)
    this.#take([event])
    if (this.#from !== null) this.#to = Math.max(this.#to, event.seq + 1)
  }

  /** Asks for what is not here of what stands between two seqs; a failure is asked for again by the next call. */
  async cover(from: number, to: number): Promise<void> {
    if (this.#asking) return
    this.#asking = true
    try {
      if (this.#from === null || to < this.#from || from > this.#to) {
        this.#from = await this.#ask(from, to)
        this.#to = to
      }
      if (from < this.#from) this.#from = await this.#ask(from, this.#from + 1)
      if (to > this.#to) {
        await this.#ask(this.#to - 1, to, 0)
        this.#to = to
      }
    } catch {
      // They are beside what is said.
    } finally {
      this.#asking = false
      if (!this.asked) {
        this.asked = true
        this.changed.emit()
      }
    }
  }

  /** Asks for a stretch and much that is before it; from where on it was told. */
  async #ask(after: number, before: number, ahead = AHEAD): Promise<number> {
    const from = Math.max(0, after - ahead)
    const { events, people } = await this.#load(from, before)
    for (const { id, name } of people) this.#names.set(id, name)
    this.#take(events)
    // There may be more than the server tells at once.
    return events.length < TOLD_MAX ? from : Math.min(after, events[0]!.seq - 1)
  }

  #take(events: readonly RoomEvent[]): void {
    const known = new Set(this.list.map(({ seq }) => seq))
    const fresh = events.filter(({ seq }) => !known.has(seq))
    if (fresh.length === 0) return
    this.list = [...this.list, ...fresh].sort((a, b) => a.seq - b.seq)
    this.changed.emit()
  }
}
