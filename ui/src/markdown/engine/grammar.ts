/**
 * The Markdown this page reads: GFM with mathematics, without HTML, and bounded.
 *
 * HTML is no part of the grammar: a tag is text, and Markdown inside it stays Markdown (only `<br>` is a
 * line break, the sole one a table cell can have). One tilde is a tilde, so that "~5 to ~10" is not
 * struck out. Emphasis and bare addresses end where readers of scripts without spaces expect. Nesting and table sizes end where `limits` says; deeper markers stay text.
 */
import { Lexer, Marked, Tokenizer, type MarkedOptions, type TokenizerStartFunction, type Tokens } from 'marked'
import { addressEnd } from '../../lib/words/links'
import { beforeUnderscore, cjkFriendly } from './cjk'
import { NESTING_MAX, TABLE_CELLS_MAX } from './limits'
import { blockMathAt, inlineMathAt, nextBlockMath, nextInlineMath } from './math-syntax'

/** So few columns need no count of rows: the text itself would be too long first. */
const COLUMNS_ALWAYS = 20

export interface MathToken extends Tokens.Generic {
  type: 'math'
  tex: string
  display: boolean
  /** False while the end of streamed mathematics has not come. */
  closed: boolean
}

/** What the renderer given to marked's parser must also be able to do. */
export interface MathWriter {
  math(token: MathToken): string
}

/** `open`: the text still grows, so mathematics without an end is not over yet. */
export function createGrammar(open: boolean): MarkedOptions<string, string> {
  const marked = new Marked<string, string>({
    gfm: true,
    hooks: { emStrongMask: withoutMath },
    extensions: [
      {
        name: 'math',
        level: 'block',
        start: nextOrNothing((source) => nextBlockMath(source, open)),
        tokenizer: (source) => {
          const span = blockMathAt(source, open)
          return span === null ? undefined : ({ type: 'math', ...span } satisfies MathToken)
        },
        renderer(token) {
          return (this.parser.renderer as unknown as MathWriter).math(token as MathToken)
        },
      },
      {
        name: 'math',
        level: 'inline',
        start: nextOrNothing(nextInlineMath),
        tokenizer: (source) => {
          const span = inlineMathAt(source)
          return span === null ? undefined : ({ type: 'math', closed: true, ...span } satisfies MathToken)
        },
      },
    ],
  })
  return { ...marked.defaults, tokenizer: new BoundedTokenizer(open) }
}

export function createLexer(grammar: MarkedOptions<string, string>): Lexer<string, string> {
  const lexer = new Lexer<string, string>(grammar)
  if (grammar.tokenizer instanceof BoundedTokenizer) grammar.tokenizer.befriend()
  return lexer
}

class BoundedTokenizer extends Tokenizer<string, string> {
  readonly #open: boolean
  #rules: Tokenizer<string, string>['rules'] | null = null
  #depth = 0

  constructor(open: boolean) {
    super()
    this.#open = open
  }

  /** A lexer gives its tokenizer marked's rules; these are made of them once. */
  befriend(): void {
    this.rules = this.#rules ??= cjkFriendly(this.rules)
  }

  override html(): undefined {
    return undefined
  }

  override tag(source: string): Tokens.Tag | undefined {
    const match = /^<br *\/?>/i.exec(source)
    if (match === null) return undefined
    return { type: 'html', raw: match[0], text: match[0], inLink: false, inRawBlock: false, block: false }
  }

  override del(source: string, masked: string, previous?: string): Tokens.Del | undefined {
    return source.startsWith('~~') ? super.del(source, masked, whole(previous, source, masked)) : undefined
  }

  override emStrong(source: string, masked: string, previous?: string): Tokens.Em | Tokens.Strong | undefined {
    const before = whole(previous, source, masked)
    const token = super.emStrong(source, masked, source.startsWith('_') ? beforeUnderscore(before) : before)
    return token !== undefined && endsInsideMath(source, token.raw.length) ? undefined : token
  }

  override url(source: string): Tokens.Link | undefined {
    const end = addressEnd(source)
    return super.url(end === null ? source : source.slice(0, end))
  }

  override blockquote(source: string): Tokens.Blockquote | undefined {
    return this.#nested(() => super.blockquote(source))
  }

  override list(source: string): Tokens.List | undefined {
    return this.#nested(() => super.list(source))
  }

  override lheading(source: string): Tokens.Heading | undefined {
    // An underlined heading ends before display mathematics, and must not look for its line beyond it.
    const mathematics = nextBlockMath(source, this.#open)
    return super.lheading(mathematics === -1 ? source : source.slice(0, mathematics))
  }

  override table(source: string): Tokens.Table | undefined {
    // Short rows are filled up to the header's width, so a small text can ask for a huge table.
    const columns = source.slice(0, source.indexOf('\n') + 1).split('|').length
    if (columns > COLUMNS_ALWAYS && columns * rowsAtMost(source) > TABLE_CELLS_MAX) return undefined
    return super.table(source)
  }

  #nested<Result>(tokenize: () => Result): Result | undefined {
    if (this.#depth >= NESTING_MAX) return undefined
    this.#depth += 1
    try {
      return tokenize()
    } finally {
      this.#depth -= 1
    }
  }
}

/** The character before `source`, of which marked tells the last half when it is one of two. */
function whole(previous: string | undefined, source: string, masked: string): string | undefined {
  if (!previous || !/^[\udc00-\udfff]$/.test(previous)) return previous
  const start = masked.length - source.length
  return masked.slice(Math.max(0, start - 2), start)
}

/** Lines until the next empty one. */
function rowsAtMost(source: string): number {
  const end = source.search(/\n[ \t]*\n/)
  return (end === -1 ? source : source.slice(0, end)).split('\n').length
}

/** Stars and underscores of `$…$` are no emphasis; same length, as marked asks. */
function withoutMath(masked: string): string {
  let result = ''
  let rest = masked
  for (let start = nextInlineMath(rest); start !== -1; start = nextInlineMath(rest)) {
    const length = inlineMathAt(rest.slice(start))?.raw.length
    result += rest.slice(0, start) + (length === undefined ? rest.charAt(start) : '+'.repeat(length))
    rest = rest.slice(start + (length ?? 1))
  }
  return result + rest
}

/**
 * Emphasis must not end at a star or underscore of a formula that begins inside it. The mask above does
 * not see formulas in backslash delimiters, which are escapes to it.
 */
function endsInsideMath(source: string, end: number): boolean {
  let position = nextInlineMath(source.slice(0, end))
  while (position !== -1 && position < end) {
    const span = inlineMathAt(source.slice(position))
    const after = position + (span?.raw.length ?? 1)
    if (span !== null && after > end) return true
    const next = nextInlineMath(source.slice(after, end))
    position = next === -1 ? -1 : after + next
  }
  return false
}

function nextOrNothing(find: (source: string) => number): TokenizerStartFunction {
  return (source) => {
    const index = find(source)
    return index === -1 ? undefined : index
  }
}
