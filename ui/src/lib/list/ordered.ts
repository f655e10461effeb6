/**
 * Things in one order, which is kept while they come, change and go: to read them sorts nothing.
 *
 * A place is found by halving, so a change compares about as often as the number of things has binary digits.
 */
export class Ordered<T> {
  #items: T[] = []
  #before: (a: T, b: T) => boolean

  constructor(before: (a: T, b: T) => boolean) {
    this.#before = before
  }

  get length(): number {
    return this.#items.length
  }

  at(index: number): T | undefined {
    return this.#items[index]
  }

  slice(from: number, to: number): T[] {
    return this.#items.slice(from, to)
  }

  add(item: T): void {
    this.#items.splice(this.countBefore((other) => this.#before(other, item)), 0, item)
  }

  remove(item: T): void {
    const index = this.indexOf(item)
    if (index >= 0) this.#items.splice(index, 1)
  }

  /** The place of this very thing, -1 if it is not here. */
  indexOf(item: T): number {
    const index = this.countBefore((other) => this.#before(other, item))
    return this.#items[index] === item ? index : -1
  }

  /** How many stand before; `isBefore` must be true of some first ones and of no later one. */
  countBefore(isBefore: (item: T) => boolean): number {
    let low = 0
    let high = this.#items.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (isBefore(this.#items[middle]!)) low = middle + 1
      else high = middle
    }
    return low
  }
}
