/**
 * One message as a list of rendered blocks, brought up to date as its text grows.
 *
 * A block is rendered again only when its own text changed, when it stopped growing, when a reference it
 * names was defined, or when an extra it missed has come. The list keeps its order and only its end
 * changes while a text streams, so the index of a block is its key.
 */
import type { Links } from 'marked'
import { plainHtml } from './escape'
import type { ExtraName } from './extras'
import { BLOCKS_MAX, isTooLong } from './limits'
import type { BlockSource, RenderedBlock } from './render'
import { Splitter, definitionsOf, normalized, type Block } from './split'

export type RenderBlock = (source: BlockSource) => RenderedBlock

interface Kept extends RenderedBlock {
  key: string
}

const WITHOUT_CONTENT = new Set(['space', 'def'])

export class MarkdownDocument {
  readonly #render: RenderBlock
  readonly #splitter = new Splitter()
  #kept: Kept[] = []
  #stale: ReadonlySet<ExtraName> = new Set()

  constructor(render: RenderBlock) {
    this.#render = render
  }

  /** HTML of each block. */
  update(text: string, streaming: boolean): string[] {
    if (isTooLong(text)) return this.#plain(text)
    const blocks = this.#splitter.split(normalized(text), streaming)
    const links = definitionsOf(blocks)
    const content = blocks.filter((block) => !WITHOUT_CONTENT.has(block.type))
    if (content.length > BLOCKS_MAX) return this.#plain(text)
    this.#kept = content.map((block, index) => {
      const growing = streaming && index === content.length - 1
      return this.#keptOrRendered(this.#kept[index], block, linksNamedIn(block, links), growing)
    })
    this.#stale = new Set()
    return this.#kept.map((block) => block.html)
  }

  /** Extras the last update would have used. */
  get missing(): ExtraName[] {
    return [...new Set(this.#kept.flatMap((block) => [...block.missing]))]
  }

  /** These extras have come (or failed): blocks that missed one are rendered at the next update. */
  refresh(names: Iterable<ExtraName>): void {
    this.#stale = new Set([...this.#stale, ...names])
  }

  #plain(text: string): string[] {
    this.#kept = []
    return [plainHtml(text)]
  }

  #keptOrRendered(kept: Kept | undefined, block: Block, links: Links, growing: boolean): Kept {
    const key = JSON.stringify([block.type, growing, block.raw, links])
    const isCurrent = kept?.key === key && ![...kept.missing].some((name) => this.#stale.has(name))
    if (kept !== undefined && isCurrent) return kept
    if (block.type === 'plain') return { key, html: plainHtml(block.raw), missing: new Set() }
    return { key, ...this.#render({ raw: block.raw, type: block.type, links, growing }) }
  }
}

function linksNamedIn(block: Block, links: Links): Links {
  const names = Object.keys(links)
  if (names.length === 0 || block.type === 'code' || !block.raw.includes(']')) return {}
  const text = labelForm(block.raw)
  return Object.fromEntries(names.filter((name) => text.includes(labelForm(name))).map((name) => [name, links[name]!]))
}

/** Labels match without regard to case and space. */
function labelForm(text: string): string {
  return text.toLowerCase().toUpperCase().toLowerCase().replace(/\s+/g, ' ')
}
