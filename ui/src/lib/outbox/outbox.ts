/**
 * Messages that the server has not yet stored. They survive a reload, a crash and an outage.
 *
 * Each message is one item of localStorage under its own key, so that two tabs never overwrite each
 * other's: writing and removing one key is atomic, and no list is read, changed and written back.
 * When two tabs send the same item, its `cid` makes the server store it once. Per room one message is
 * on its way at a time, in the order in which they were written; temporary errors are tried again,
 * others wait as `rejected` for the person to edit or discard them.
 *
 * States: sending → stored, or → accepted (the server keeps it while its database is down) → stored,
 * or → rejected with a code.
 */
import { Emitter } from '../emitter'
import { Problem } from '../server/errors'
import { newCid } from './ids'
import type { Ack } from '../protocol'

export type OutboxState = 'sending' | 'accepted' | 'stored' | 'rejected'

export interface OutboxEntry {
  cid: string
  room: string
  me: string
  text: string
  at: string
  state: OutboxState
  code: string | null
  /** Known once stored: where the message stands in the room. */
  seq: number | null
  /** Each of them answers it; none: as ever. */
  models?: string[] | undefined
  /** At whose end it stands, where the chat has several. */
  branch?: number | undefined
}

/** The part of localStorage that is used. */
export type KeyStore = Pick<Storage, 'getItem' | 'setItem' | 'removeItem' | 'key' | 'length'>

export type SendMessage = (entry: OutboxEntry) => Promise<Ack>

const PREFIX = 'palaver.outbox.'
const RETRY_FIRST_MS = 1000
const RETRY_MAX_MS = 20_000

export class Outbox {
  readonly changed = new Emitter()
  /** The models of which each answers the next message. */
  models: string[] | undefined
  #entries = new Map<string, OutboxEntry>()
  #busy = new Set<string>()
  #failures = new Map<string, number>()
  #store: KeyStore
  #send: SendMessage
  #me = ''
  #open = false

  constructor(store: KeyStore, send: SendMessage) {
    this.#store = store
    this.#send = send
  }

  /** What of this room only this page knows, oldest first. */
  of(room: string): OutboxEntry[] {
    return [...this.#entries.values()].filter((entry) => entry.room === room && entry.me === this.#me)
  }

  get unsent(): number {
    return this.#count('sending')
  }

  /** How many the server keeps because it cannot store them now. */
  get accepted(): number {
    return this.#count('accepted')
  }

  /** Takes what earlier pages left behind, and what was written here before it was known who one is. */
  restore(me: string): void {
    this.#me = me
    for (const entry of this.#entries.values()) if (entry.me === '') this.#put({ ...entry, me })
    const keys = Array.from({ length: this.#store.length }, (_, index) => this.#store.key(index) ?? '')
    for (const key of keys.sort()) if (key.startsWith(PREFIX)) this.#adopt(key)
    this.changed.emit()
  }

  add(room: string, text: string, branch?: number): OutboxEntry {
    const entry: OutboxEntry = {
      cid: newCid(), room, me: this.#me, text, at: new Date().toISOString(), state: 'sending', code: null, seq: null, models: this.models, branch,
    }
    this.models = undefined
    this.#put(entry)
    void this.#drain(room)
    return entry
  }

  /** Takes a message back, to be edited or forgotten. */
  discard(cid: string): OutboxEntry | null {
    const entry = this.#entries.get(cid)
    if (!entry) return null
    this.#remove(cid)
    void this.#drain(entry.room)
    return entry
  }

  /** Tries a refused message again, unchanged. */
  resend(cid: string): void {
    const entry = this.#entries.get(cid)
    if (!entry) return
    this.#put({ ...entry, state: 'sending', code: null })
    void this.#drain(entry.room)
  }

  /** The message has appeared in its room: nothing is left to show of it here. */
  settle(cid: string): void {
    if (this.#entries.has(cid)) this.#remove(cid)
  }

  /** A room was read up to `seq`: what was stored below needs no bubble of its own any more. */
  settleUpTo(room: string, seq: number): void {
    for (const entry of this.of(room)) {
      if (entry.state === 'stored' && entry.seq !== null && entry.seq <= seq) this.#remove(entry.cid)
    }
  }

  /** The server tells later what became of an accepted message. */
  acknowledged(ack: Ack): void {
    const entry = this.#entries.get(ack.cid)
    if (entry) this.#settleAck(entry, ack)
  }

  /** Sends what waits, as long as the connection is open; asks again about what was accepted. */
  setOpen(open: boolean): void {
    this.#open = open
    if (!open) return
    this.#failures.clear()
    this.restore(this.#me)
    for (const room of new Set([...this.#entries.values()].map((entry) => entry.room))) void this.#drain(room)
  }

  /** Another tab removed an item: it was stored or discarded there. What others add they send themselves. */
  onStorage(key: string | null, value: string | null): void {
    if (!key?.startsWith(PREFIX) || value !== null) return
    const entry = this.#entries.get(key.slice(PREFIX.length))
    if (entry?.state === 'rejected' && this.#entries.delete(entry.cid)) this.changed.emit()
  }

  #count(state: OutboxState): number {
    return [...this.#entries.values()].filter((entry) => entry.state === state).length
  }

  async #drain(room: string): Promise<void> {
    if (!this.#open || this.#busy.has(room)) return
    const entry = this.of(room).find((candidate) => candidate.state === 'sending')
    if (!entry) return
    this.#busy.add(room)
    let wait = 0
    try {
      this.#settleAck(entry, await this.#send(entry))
      this.#failures.delete(room)
    } catch (error) {
      wait = this.#failed(entry, error)
    }
    if (wait > 0) await new Promise((resolve) => setTimeout(resolve, wait))
    this.#busy.delete(room)
    void this.#drain(room)
  }

  #settleAck(entry: OutboxEntry, ack: Ack): void {
    if (!this.#entries.has(entry.cid)) return
    if (ack.state === 'rejected') this.#put({ ...entry, state: 'rejected', code: ack.code ?? 'rejected' })
    else if (ack.state === 'accepted') this.#put({ ...entry, state: 'accepted' })
    else {
      this.#forget(entry.cid)
      this.#entries.set(entry.cid, { ...entry, state: 'stored', seq: ack.seq ?? null })
      this.changed.emit()
    }
  }

  /** Milliseconds to wait before the next try; 0 when the entry needs the person, or a connection. */
  #failed(entry: OutboxEntry, error: unknown): number {
    const problem = error instanceof Problem ? error : new Problem('unknown', { temporary: true })
    if (!problem.temporary) {
      if (this.#entries.has(entry.cid)) this.#put({ ...entry, state: 'rejected', code: problem.code })
      return 0
    }
    if (!this.#open) return 0
    const failures = (this.#failures.get(entry.room) ?? 0) + 1
    this.#failures.set(entry.room, failures)
    return Math.max(problem.retryMs ?? 0, Math.min(RETRY_MAX_MS, RETRY_FIRST_MS * 2 ** (failures - 1)))
  }

  #adopt(key: string): void {
    const entry = parse(this.#store.getItem(key))
    if (!entry || PREFIX + entry.cid !== key) return
    const state = entry.state === 'rejected' ? 'rejected' : 'sending'
    this.#entries.set(entry.cid, { ...entry, state })
    void this.#drain(entry.room)
  }

  #put(entry: OutboxEntry): void {
    this.#entries.set(entry.cid, entry)
    try {
      this.#store.setItem(PREFIX + entry.cid, JSON.stringify(entry))
    } catch {
      // No room or no permission: the message lives as long as this page.
    }
    this.changed.emit()
  }

  #remove(cid: string): void {
    this.#entries.delete(cid)
    this.#forget(cid)
    this.changed.emit()
  }

  #forget(cid: string): void {
    try {
      this.#store.removeItem(PREFIX + cid)
    } catch {
      // Nothing was kept where nothing can be removed.
    }
  }
}

function parse(value: string | null): OutboxEntry | null {
  try {
    const entry = JSON.parse(value ?? 'null') as OutboxEntry | null
    return entry && typeof entry.cid === 'string' && typeof entry.text === 'string' ? entry : null
  } catch {
    return null
  }
}
