/**
 * The Markdown engine: everything that is fetched after the page's first paint.
 *
 * text → split into blocks → each block: marked → HTML → DOMPurify → kept.
 */
import { copyButtons } from './buttons'
import { MarkdownDocument } from './document'
import { Extras, type ExtraName } from './extras'
import { memoized } from './memo'
import { BlockRenderer } from './render'

export type { MarkdownDocument } from './document'
export type { ExtraName } from './extras'

export class Engine {
  readonly copyButtons = copyButtons
  readonly #extras = new Extras()
  readonly #render

  constructor(view: Window & typeof globalThis) {
    const renderer = new BlockRenderer(this.#extras, view)
    this.#render = memoized((source) => renderer.render(source))
  }

  open(): MarkdownDocument {
    return new MarkdownDocument(this.#render)
  }

  load(names: Iterable<ExtraName>): Promise<void> {
    return this.#extras.load(names)
  }
}
