/**
 * The branches of a chat: which path each takes through the messages, where paths part, and what a choice there leads to.
 *
 * A path is the messages of a branch, before them those of its parent up to the one behind which it begins, and so on.
 */
import type { Branch } from '../lib/protocol'

/** Where paths part behind the message of `parent` at the seq `after` (0: before all of them). */
export interface Fork {
  parent: number
  after: number
  /** The branch to which each way leads: what is newest of it. */
  leads: readonly number[]
  /** Which of them is the one that is shown. */
  at: number
}

export class Tree {
  readonly #branches: ReadonlyMap<number, Branch>
  /** Of each branch those that grow out of it and are there, in the order in which they were made. */
  readonly #children = new Map<number, Branch[]>()

  constructor(branches: readonly Branch[]) {
    this.#branches = new Map(branches.map((one) => [one.branch, one]))
    for (const one of [...branches].sort((a, b) => a.branch - b.branch)) {
      if (one.parent === null || one.deleted_at !== null) continue
      this.#children.set(one.parent, [...(this.#children.get(one.parent) ?? []), one])
    }
  }

  /** Whether neither it nor what it grew out of is known to be deleted. */
  isLive(branch: number): boolean {
    return this.pathOf(branch).every(([one]) => !this.#branches.get(one)?.deleted_at)
  }

  /** The branches of a path, its own first, each with the seq up to which it counts. */
  pathOf(branch: number): [branch: number, upTo: number][] {
    const path: [number, number][] = [[branch, Infinity]]
    for (let one = this.#branches.get(branch); one && one.parent !== null; one = this.#branches.get(one.parent)) path.push([one.parent, one.after])
    return path
  }

  /** Where the path of a branch parts from others, from the beginning on. */
  forksOf(branch: number): Fork[] {
    const path = this.pathOf(branch)
    const found = path.flatMap(([parent, upTo], index) => {
      const begun = new Map<number, Branch[]>()
      for (const one of this.#children.get(parent) ?? []) if (one.after <= upTo) begun.set(one.after, [...(begun.get(one.after) ?? []), one])
      return [...begun].map(([after, ways]): Fork => ({
        parent, after,
        leads: [this.#newest(parent, after).branch, ...ways.map((one) => this.#newest(one.branch).branch)],
        at: after < upTo ? 0 : 1 + ways.findIndex((one) => one.branch === path[index - 1]?.[0]),
      }))
    })
    return found.sort((one, other) => one.after - other.after || one.parent - other.parent)
  }

  /** Of a branch behind a seq, and all that grew out of it there, the one in which the newest was said. */
  #newest(branch: number, behind = -1): { branch: number; last: number } {
    const last = this.#branches.get(branch)?.last ?? -1
    const grown = (this.#children.get(branch) ?? []).filter(({ after }) => after > behind)
    return grown.map((one) => this.#newest(one.branch)).reduce((best, one) => (one.last > best.last ? one : best), { branch, last: last > behind ? last : -1 })
  }
}
