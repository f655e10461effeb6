/**
 * A growing text as a list of Markdown blocks.
 *
 * While text is only appended, everything before the last two blocks keeps standing and is not read
 * again: the reading restarts at an empty line before them, because what comes after an empty line never
 * changes what stood before it, except the block that touches it (a list may go on). Reference
 * definitions may come later than their use; each block tells its own.
 */
import type { Links, Token, Tokens } from 'marked'
import { createGrammar, createLexer } from './grammar'
import { REFERENCES_MAX } from './limits'

export interface Block {
  raw: string
  /** The type of marked's token; 'plain' where the text could not be taken apart. */
  type: string
  definitions: Links
}

const ENDS_WITH_EMPTY_LINE = /\n[ \t]*\n[ \t]*$/

export class Splitter {
  readonly #finished = createGrammar(false)
  readonly #growing = createGrammar(true)
  #text = ''
  #streaming = false
  #blocks: Block[] = []

  /** The blocks of `text`, space between them included as blocks of type 'space'. */
  split(text: string, streaming: boolean): readonly Block[] {
    const grows = streaming && this.#streaming && text.startsWith(this.#text)
    if (grows && text === this.#text) return this.#blocks
    const kept = grows ? keptBlocks(this.#blocks) : 0
    const start = this.#blocks.slice(0, kept).reduce((length, block) => length + block.raw.length, 0)
    const tail = this.#read(text.slice(start), streaming)
    this.#blocks = [...this.#blocks.slice(0, kept), ...tail]
    this.#text = text
    this.#streaming = streaming
    return this.#blocks
  }

  #read(source: string, streaming: boolean): Block[] {
    const lexer = createLexer(streaming ? this.#growing : this.#finished)
    let tokens: Token[]
    try {
      tokens = lexer.blockTokens(source, lexer.tokens)
    } catch (error) {
      if (error instanceof Error) return [{ raw: source, type: 'plain', definitions: {} }]
      throw error
    }
    // marked cuts by the length of a token's raw text, but may have changed its last white space.
    let end = 0
    const blocks = tokens.map((token) => {
      const start = end
      end += token.raw.length
      return { raw: source.slice(start, end), type: token.type, definitions: definitionsIn(token) }
    })
    if (end !== source.length) return [{ raw: source, type: 'document', definitions: { ...lexer.tokens.links } }]
    return blocks
  }
}

/** Line ends as the grammar reads them. */
export function normalized(text: string): string {
  return text.replace(/\r\n?/g, '\n')
}

/** All definitions of a text, the first of a name counting. */
export function definitionsOf(blocks: readonly Block[]): Links {
  const links: Links = {}
  let count = 0
  for (const block of blocks) {
    for (const [name, definition] of Object.entries(block.definitions)) {
      if (Object.hasOwn(links, name) || count >= REFERENCES_MAX) continue
      links[name] = definition
      count += 1
    }
  }
  return links
}

/** How many blocks from the start no appended text can change. */
function keptBlocks(blocks: readonly Block[]): number {
  let contentBlocks = 0
  for (let index = blocks.length - 1; index > 0; index -= 1) {
    if (blocks[index]?.type === 'space') continue
    contentBlocks += 1
    const before = blocks[index - 1]
    if (contentBlocks < 2 || before === undefined) continue
    if (before.type === 'space' || ENDS_WITH_EMPTY_LINE.test(before.raw)) return index
  }
  return 0
}

function definitionsIn(token: Token, found: Links = {}): Links {
  if (token.type === 'def') {
    const { tag, href, title } = token as Tokens.Def
    if (!Object.hasOwn(found, tag)) found[tag] = { href, title }
  } else if (token.type === 'list') {
    for (const item of (token as Tokens.List).items) definitionsIn(item, found)
  } else if (token.type === 'blockquote' || token.type === 'list_item') {
    for (const child of token.tokens ?? []) definitionsIn(child, found)
  }
  return found
}
