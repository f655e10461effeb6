/** The one way in which the parts of the page tell others that they changed. */
export class Emitter {
  #listeners = new Set<() => void>()

  subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  emit(): void {
    for (const listener of [...this.#listeners]) listener()
  }
}
