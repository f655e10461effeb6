/** What was typed and not sent, per room (null: the start); a browser without storage forgets it with the page. */
import { Emitter } from '../emitter'
import type { KeyStore } from './outbox'

const PREFIX = 'palaver.draft.'

export class Drafts {
  /** A draft came or went; its words may change without a word here. */
  readonly changed = new Emitter()
  #store: KeyStore
  #rooms = new Set<string>()

  constructor(store: KeyStore) {
    this.#store = store
    for (let index = 0; index < store.length; index++) {
      const key = store.key(index) ?? ''
      if (key.startsWith(PREFIX)) this.#rooms.add(key.slice(PREFIX.length))
    }
  }

  has(room: string): boolean {
    return this.#rooms.has(room)
  }

  of(room: string | null): string {
    return this.#store.getItem(PREFIX + (room ?? '')) ?? ''
  }

  keep(room: string | null, text: string): void {
    const name = room ?? ''
    const [had, has] = [this.#rooms.has(name), text.trim() !== '']
    try {
      if (has) this.#store.setItem(PREFIX + name, text)
      else if (had) this.#store.removeItem(PREFIX + name)
    } catch {
      // No room: what is typed lives as long as this page.
    }
    if (has) this.#rooms.add(name)
    else this.#rooms.delete(name)
    if (had !== has) this.changed.emit()
  }
}
