/**
 * Who is in a room: the server's list, as far as it was looked at. What happens to a member is no second truth here:
 * it only says that the list has to be asked for again.
 */
import { Emitter } from '../emitter'
import type { Here, Member, MemberList } from '../protocol'

export type LoadMembers = (cursor: string | null) => Promise<MemberList>

/** Many who come at once are asked for together. */
const AGAIN_MS = 200

export class Members {
  readonly changed = new Emitter()
  /** Owners first; null before the server has answered. */
  list: readonly Member[] | null = null
  /** The last look failed: the list may be older than what happened. */
  failed = false
  /** Who reads the room now; null where one is alone, or as long as nothing was told. */
  here: Here | null = null
  /** What tells apart whose names look alike, by id. */
  marks: ReadonlyMap<string, string> = new Map()

  #load: LoadMembers
  #next: string | null = null
  #names = ''
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

  /** Whether who answers depends on what is said: else the only agent answers the only person. */
  get company(): boolean {
    const { list, people } = this
    return people.length > 1 || (list ?? []).length - people.length > 1 || !!list?.some(({ speaks, for_me }) => for_me === false || (speaks && !/^a[ul]/.test(speaks)))
  }

  /** Finds out whose names look alike, of the members and of who else speaks. */
  async tellApart(others: Iterable<{ id: string; name: string }>): Promise<void> {
    const all = [...new Map([...others, ...(this.list ?? [])].map((one) => [one.id, one])).values()]
    const names = all.map(({ id, name }) => id + name).join('\n')
    // Agents have their own mark.
    if (all.filter(({ id }) => id.startsWith('u_')).length < 2 || names === this.#names) return
    this.#names = names
    const found = await import('./alike').catch(() => null)
    if (!found || names !== this.#names) return
    this.marks = found.marksOf(all)
    this.changed.emit()
  }

  /** Somebody came to read, or went. */
  noteHere(here: Here | null): void {
    this.here = here && here.count > 1 ? here : null
    this.changed.emit()
  }

  of(actor: string): Member | undefined {
    return this.list?.find(({ id }) => id === actor)
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
      await this.#fetch(Math.max(1, this.list?.length ?? 0), [], null)
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
