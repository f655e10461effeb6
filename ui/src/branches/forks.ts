/**
 * Where the paths of a chat part, as far as they are on the page: fetched with the first chat that has more than one.
 *
 * What is known is the server's list of branches; what happens meanwhile is added to it, or has it asked for anew.
 */
import { Emitter } from '../lib/emitter'
import type { Branch, Message, RoomEvent } from '../lib/protocol'
import type { RoomLog } from '../lib/room/room'
import { isShown, type Row } from '../lib/rows/rows'
import { Problem } from '../lib/server/errors'
import type { PageState } from '../page.svelte'
import { branchesOf } from './calls'
import { Tree, type Fork } from './tree'
import Versions from './Versions.svelte'

/** What holds on to a place of the list of messages, while it is changed; `show`: those at a seq are in the document. */
export type Hold = (change: (list: { scroller: HTMLElement; content: HTMLElement; show: (seq: number) => void }) => Promise<void>) => Promise<void>

/** A fork, what is shown of it, and the list that it stands in. */
export interface Parting extends Fork {
  View: typeof Versions
  hold: Hold
}

export class Forks {
  readonly changed = new Emitter()
  list: readonly Branch[] = []
  tree = new Tree([])
  readonly #page: PageState
  readonly #log: RoomLog
  #asking = false
  /** Something happened while the list was awaited. */
  #late = false

  constructor(page: PageState, log: RoomLog) {
    this.#page = page
    this.#log = log
    this.load()
  }

  /** By the key of the row under which it is seen: the first one behind it, or the last before it where none is. */
  place(rows: readonly Row[], hold: Hold): ReadonlyMap<string, Parting> {
    const { branch, messages, hasOlder, hasNewer } = this.#log
    const oldest = hasOlder ? (messages[0]?.seq ?? Infinity) : 0
    const placed = new Map<string, Parting>()
    for (const fork of this.tree.forksOf(branch)) {
      if (fork.after < oldest) continue
      const first = messages.find((one) => one.seq > fork.after && isShown(one))
      const unsaid = hasNewer ? undefined : (rows.find(({ kind }) => kind === 'stream') ?? rows.at(-1))
      const row = first ? rows.find((one) => holds(one, first.seq)) : unsaid
      if (row) placed.set(row.key, { ...fork, View: Versions, hold })
    }
    return placed
  }

  note({ k, d }: RoomEvent): void {
    if (k.startsWith('branch.')) this.load()
    else if (k === 'message.created') {
      const { branch, seq } = d as unknown as Message
      this.#late = this.#asking
      this.#take(this.list.map((one) => (one.branch === branch ? { ...one, last: seq } : one)))
    }
  }

  /** Asks for the list; anew where something happened while it was awaited. */
  load(): void {
    this.#late = this.#asking
    if (!this.#asking) void this.#ask()
  }

  /** Goes over to a branch, on all devices; false when that could not be done. */
  async look(branch: number, seq?: number): Promise<boolean> {
    const { id } = this.#log
    const shown = await this.#log.look(branch, seq)
    if (shown) this.#page.session.connection.push({ t: 'look', room: id, branch })
    else this.#page.report(new Problem('offline'))
    return shown
  }

  async #ask(): Promise<void> {
    this.#asking = true
    try {
      do {
        this.#late = false
        this.#take((await branchesOf(this.#page.session.api, this.#log.id)).branches)
      } while (this.#late)
    } catch {
      // The next event, or the next subscription, asks again.
    }
    this.#asking = false
    // What was looked at was deleted.
    if (!this.tree.isLive(this.#log.branch)) void this.#log.look(this.#page.session.rooms.get(this.#log.id)?.main_branch ?? 0)
  }

  #take(list: readonly Branch[]): void {
    this.list = list
    this.tree = new Tree(list)
    this.changed.emit()
  }
}

/** The page follows where the paths of a chat part, from now on. */
export function attach(page: PageState, log: RoomLog): void {
  if (log.forks) return
  log.forks = new Forks(page, log)
  log.changed.emit()
}

function holds(row: Row, seq: number): boolean {
  return row.kind === 'message' ? row.message.seq === seq : row.kind === 'run' && row.unit.seq <= seq && seq <= row.unit.last
}
