/**
 * Who is in a room: the server's list, as far as it was looked at. What happens to a member is no second truth here:
 * it only says that the list has to be asked for again.
 */
import { Emitter } from '../emitter'
import type { Member, MemberList } from '../protocol'

export type LoadMembers = (cursor: string | null) => Promise<MemberList>

/** Many who come at once are asked for together. */
const AGAIN_MS = 200
const ARRIVED_MS = 8000

export class Members {
  readonly changed = new Emitter()
  /** Owners first; null before the server has answered. */
  list: readonly Member[] | null = null
  /** The last look failed: the list may be older than what happened. */
  failed = false
  /** The names of those who came a moment ago. */
  arrived: readonly string[] = []

  #load: LoadMembers
  #next: string | null = null
  #looked = false
  #asking = false
  #stale = false
  #timer: ReturnType<typeof setTimeout> | undefined

  constructor(load: LoadMembers) {
    this.#load = load
  }

  /** Those who are no agents. */
  get people(): readonly Member[] {
    return (this.list ?? []).filter((one) => one.kind === 'person')
  }

  get hasMore(): boolean {
    return this.#next !== null
  }

  /** Whoever looks is told by `changed`, now and whenever somebody comes or goes. */
  look(): void {
    if (this.#looked) return
    this.#looked = true
    void this.again()
  }

  /** Something happened to a member. */
  happened(): void {
    if (this.#looked) this.#timer ??= setTimeout(() => void this.again(), AGAIN_MS)
  }

  /** Asks anew for as much as is here. */
  async again(): Promise<void> {
    clearTimeout(this.#timer)
    this.#timer = undefined
    this.#stale = true
    if (this.#asking) return
    this.#asking = true
    while (this.#stale) {
      this.#stale = false
      const before = this.list
      await this.#fetch(Math.max(1, before?.length ?? 0), [], null)
      if (before) this.#greet(before)
    }
    this.#asking = false
  }

  async more(): Promise<void> {
    if (this.#asking || this.#next === null) return
    this.#asking = true
    await this.#fetch((this.list?.length ?? 0) + 1, [...(this.list ?? [])], this.#next)
    this.#asking = false
    if (this.#stale) void this.again()
  }

  #greet(before: readonly Member[]): void {
    const known = new Set(before.map((one) => one.id))
    const names = this.people.filter((one) => !known.has(one.id)).map((one) => one.name)
    if (names.length === 0) return
    this.arrived = names
    this.changed.emit()
    setTimeout(() => {
      if (this.arrived !== names) return
      this.arrived = []
      this.changed.emit()
    }, ARRIVED_MS)
  }

  /** Adds pages until there are so many, or no more. */
  async #fetch(count: number, list: Member[], from: string | null): Promise<void> {
    try {
      let next = from
      do {
        const page = await this.#load(next)
        list.push(...page.members)
        next = page.next
      } while (next !== null && list.length < count)
      ;[this.list, this.#next, this.failed] = [list, next, false]
    } catch {
      this.failed = true
    }
    this.changed.emit()
  }
}
