/**
 * The way to the Markdown engine, which is a file of its own and not part of the page's first script.
 *
 * The engine is one per page: it holds what was fetched and rendered, never what a message says. Until
 * it is here, and if it cannot be fetched, messages are plain text.
 */
import type { Engine } from './engine'

const RETRY_MILLISECONDS = 5_000

class LazyEngine {
  current: Engine | null = $state.raw(null)
  #fetching: Promise<void> | null = null

  /** Fetches the engine once; a failure may be tried again a little later. */
  load(): Promise<void> {
    this.#fetching ??= this.#fetch()
    return this.#fetching
  }

  async #fetch(): Promise<void> {
    try {
      const { Engine } = await import('./engine')
      this.current = new Engine(window)
    } catch (error) {
      console.warn('palaver: Markdown could not be loaded, messages are shown plain', error)
      setTimeout(() => (this.#fetching = null), RETRY_MILLISECONDS)
    }
  }
}

export const lazyEngine = new LazyEngine()

/** Begins fetching before the first message is there, so that it need not change its looks. */
export function preloadMarkdown(): void {
  void lazyEngine.load()
}
