/**
 * One block of Markdown to clean HTML.
 *
 * The result depends on the block's own text, on the reference links it names, on whether it still
 * grows, and on which extras are here; nothing else, so it can be kept and shown again.
 */
import { Parser, Renderer, type Links, type Tokens } from 'marked'
import remend from 'remend'
import { code as words } from '../../lib/texts-chat'
import { plainHtml, escapeHtml } from './escape'
import type { ExtraName, Extras } from './extras'
import { createGrammar, createLexer, type MathToken, type MathWriter } from './grammar'
import { BLOCK_CHARS_MAX, isTooHard, isTooMuch } from './limits'
import { isInlineImage, linkHtml, safeAddress } from './links'
import { mathHtml, mathSourceHtml } from './math'
import { createSanitizer, type Sanitize } from './sanitize'

export interface BlockSource {
  raw: string
  /** The type of marked's token. */
  type: string
  links: Links
  /** The last block of a text that is still being written. */
  growing: boolean
}

export interface RenderedBlock {
  html: string
  /** Extras that would have made it better. */
  missing: ReadonlySet<ExtraName>
}

const LABEL_CHARS_MAX = 30
const ALIGNMENTS = new Set(['left', 'right', 'center'])

export class BlockRenderer {
  readonly #extras: Extras
  readonly #sanitize: Sanitize
  readonly #finished = createGrammar(false)
  readonly #growing = createGrammar(true)

  constructor(extras: Extras, view: Window & typeof globalThis) {
    this.#extras = extras
    this.#sanitize = createSanitizer(view)
  }

  render(source: BlockSource): RenderedBlock {
    const missing = new Set<ExtraName>()
    const html = this.#html(source, missing)
    if (html === null || isTooMuch(html)) return { html: plainHtml(source.raw), missing: new Set() }
    return { html: this.#sanitize(html), missing }
  }

  #html(source: BlockSource, missing: Set<ExtraName>): string | null {
    const isCode = source.type === 'code'
    if (!isCode && isTooHard(source.raw, source.type)) return null
    if (isCode && source.raw.length > BLOCK_CHARS_MAX * 4) return null
    const grammar = source.growing ? this.#growing : this.#finished
    const writer = new BlockWriter(this.#extras, source.growing, missing)
    try {
      const lexer = createLexer(grammar)
      Object.assign(lexer.tokens.links, source.links)
      const tokens = lexer.lex(source.growing && !isCode ? closeUnfinished(source.raw) : source.raw)
      return new Parser<string, string>({ ...grammar, renderer: writer }).parse(tokens)
    } catch (error) {
      // A text the grammar cannot take apart is shown as it is: losing it would be worse.
      console.warn('palaver: a block is shown plain because it could not be rendered', error)
      return null
    }
  }
}

/** Closes what the model has opened and not yet closed, so that half a `**word` is already bold. */
function closeUnfinished(raw: string): string {
  return remend(raw, {
    linkMode: 'text-only',
    htmlTags: false,
    comparisonOperators: false,
    singleTilde: false,
    katex: false,
    inlineKatex: false,
  })
}

class BlockWriter extends Renderer<string, string> implements MathWriter {
  readonly #extras: Extras
  readonly #growing: boolean
  readonly #missing: Set<ExtraName>
  #linkDepth = 0

  constructor(extras: Extras, growing: boolean, missing: Set<ExtraName>) {
    super()
    this.#extras = extras
    this.#growing = growing
    this.#missing = missing
  }

  math(token: MathToken): string {
    const katex = this.#extras.katex
    if (katex === null) this.#extras.miss('math', this.#missing)
    const drawn = katex === null || !token.closed ? null : mathHtml(katex, token.tex, token.display)
    return drawn ?? mathSourceHtml(token.raw)
  }

  override code(token: Tokens.Code): string {
    const code = token.text.endsWith('\n') ? token.text.slice(0, -1) : token.text
    const label = /^[^\s{,:]*/.exec(token.lang ?? '')?.[0].slice(0, LABEL_CHARS_MAX) ?? ''
    const body = this.#extras.codeHtml(code, label, this.#growing, this.#missing)
    return (
      `<div class="md-code" dir="ltr"><div class="md-code-head"><span class="md-code-label">${escapeHtml(label)}</span>` +
      `<button type="button" class="md-copy" aria-label="${words.name}">${words.copy}</button></div>` +
      `<pre tabindex="0"><code>${body}</code></pre></div>`
    )
  }

  override codespan(token: Tokens.Codespan): string {
    return `<code dir="auto">${escapeHtml(token.text)}</code>`
  }

  override html(token: Tokens.HTML | Tokens.Tag): string {
    return token.block ? escapeHtml(token.raw) : '<br>'
  }

  override link(token: Tokens.Link): string {
    const address = safeAddress(token.href)
    if (address === null || this.#linkDepth > 0) return escapeHtml(token.raw)
    this.#linkDepth += 1
    const label = this.parser.parseInline(token.tokens)
    this.#linkDepth -= 1
    return linkHtml(address, label, this.parser.parseInline(token.tokens, this.parser.textRenderer), token.title)
  }

  override image(token: Tokens.Image): string {
    const alternative = token.text.trim()
    if (isInlineImage(token.href)) return `<img src="${token.href}" alt="${escapeHtml(alternative)}">`
    const label = alternative === '' ? 'image' : `image: ${alternative}`
    if (this.#linkDepth > 0) return escapeHtml(label)
    const address = safeAddress(token.href)
    return address === null ? escapeHtml(token.raw) : linkHtml(address, escapeHtml(label), label, token.title)
  }

  override checkbox(token: Tokens.Checkbox): string {
    const [sign, words] = token.checked ? ['☑', 'done'] : ['☐', 'not done']
    return `<span class="md-task" role="img" aria-label="${words}">${sign}</span> `
  }

  override listitem(item: Tokens.ListItem): string {
    return `<li${item.task ? ' class="md-task-item"' : ''}>${this.parser.parse(item.tokens)}</li>\n`
  }

  override table(token: Tokens.Table): string {
    const row = (cells: Tokens.TableCell[]) => `<tr>${cells.map((cell) => this.tablecell(cell)).join('')}</tr>`
    return (
      `<div class="md-table" role="region" aria-label="Table" tabindex="0"><table><thead>${row(token.header)}</thead>` +
      `<tbody>${token.rows.map(row).join('')}</tbody></table></div>`
    )
  }

  override tablecell(cell: Tokens.TableCell): string {
    const tag = cell.header ? 'th' : 'td'
    const alignment = cell.align !== null && ALIGNMENTS.has(cell.align) ? ` class="md-cell-${cell.align}"` : ''
    return `<${tag}${alignment}>${this.parser.parseInline(cell.tokens)}</${tag}>`
  }
}
