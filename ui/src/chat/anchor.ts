/**
 * Holds on to one row of a scrolled list, so that the reader stays where they are whatever changes around it.
 *
 * Rows are the children of `content` that carry a `data-key`. Measuring reads the layout, so it is done
 * where the layout is clean: in scroll events, and after the document was drawn anew.
 */
export class Anchor {
  #key: string | null = null
  #top = 0

  forget(): void {
    this.#key = null
  }

  /** Takes the first row that reaches into the view. */
  remember(scroller: HTMLElement, content: HTMLElement): void {
    const view = scroller.getBoundingClientRect().top
    const rows = content.children
    let low = 0
    let high = rows.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (rows[middle]!.getBoundingClientRect().bottom <= view) low = middle + 1
      else high = middle
    }
    while (low < rows.length && !(rows[low] as HTMLElement).dataset.key) low += 1
    const row = rows[low] as HTMLElement | undefined
    this.#key = row?.dataset.key ?? null
    this.#top = row ? row.getBoundingClientRect().top - view : 0
  }

  /**
   * Scrolls so that the row is where it was; takes another one when it is gone. The reader has `scrolled` so far since
   * it was taken, of which no event has told yet.
   */
  restore(scroller: HTMLElement, content: HTMLElement, scrolled: number): void {
    if (this.#key === null) return
    this.#top -= scrolled
    const row = content.querySelector(`[data-key="${CSS.escape(this.#key)}"]`)
    if (!row) {
      this.remember(scroller, content)
      return
    }
    const moved = row.getBoundingClientRect().top - scroller.getBoundingClientRect().top - this.#top
    if (Math.abs(moved) >= 0.5) scroller.scrollTop += moved
  }
}
