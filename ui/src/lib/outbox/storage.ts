/** The browser's storage, or, where it is forbidden, one that lives as long as the page. */
import type { KeyStore } from './outbox'

export function openStorage(): KeyStore {
  try {
    const probe = 'palaver.probe'
    localStorage.setItem(probe, '')
    localStorage.removeItem(probe)
    return localStorage
  } catch {
    return new MemoryStore()
  }
}

export class MemoryStore implements KeyStore {
  #items = new Map<string, string>()

  get length(): number {
    return this.#items.size
  }

  key(index: number): string | null {
    return [...this.#items.keys()][index] ?? null
  }

  getItem(key: string): string | null {
    return this.#items.get(key) ?? null
  }

  setItem(key: string, value: string): void {
    this.#items.set(key, value)
  }

  removeItem(key: string): void {
    this.#items.delete(key)
  }
}
