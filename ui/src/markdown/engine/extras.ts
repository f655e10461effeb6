/**
 * What is fetched only when a text needs it: KaTeX, the highlighter, and each language's grammar.
 *
 * Rendering never waits: it asks what is here, shows the plain form otherwise, and names what it missed.
 * An extra that could not be fetched counts as absent until the page is loaded again.
 */
import type { HLJSApi, LanguageFn } from 'highlight.js'
import { escapeHtml } from './escape'
import { GRAMMARS, NEEDED_BY, languageOf } from './languages'
import { isTooMuch } from './limits'
import type { Katex } from './math'

const HIGHLIGHT_CHARS_MAX = 50_000
/** An unfinished code block is coloured up to here while it grows; the rest follows when it is done. */
const LIVE_HIGHLIGHT_CHARS_MAX = 8_000
const LINE_CHARS_MAX = 5_000

/** 'math' or 'language:<name>'. */
export type ExtraName = string

export class Extras {
  #katex: Katex | null = null
  #highlighter: HLJSApi | null = null
  readonly #loading = new Map<ExtraName, Promise<void>>()
  readonly #failed = new Set<ExtraName>()

  get katex(): Katex | null {
    return this.#katex
  }

  /** The code as HTML: coloured if its language is known and here, else as it is. */
  codeHtml(code: string, label: string, growing: boolean, missing: Set<ExtraName>): string {
    const language = languageOf(label)
    if (language === null || code.length > HIGHLIGHT_CHARS_MAX) return escapeHtml(code)
    const highlighter = this.#highlighter
    if (highlighter === null || !this.#has(language)) {
      this.miss(`language:${language}`, missing)
      return escapeHtml(code)
    }
    const end = growing && code.length > LIVE_HIGHLIGHT_CHARS_MAX ? LIVE_HIGHLIGHT_CHARS_MAX : code.length
    const part = code.slice(0, end)
    if (part.split('\n').some((line) => line.length > LINE_CHARS_MAX)) return escapeHtml(code)
    const coloured = highlighter.highlight(part, { language, ignoreIllegals: true }).value
    return isTooMuch(coloured) ? escapeHtml(code) : coloured + escapeHtml(code.slice(end))
  }

  miss(name: ExtraName, missing: Set<ExtraName>): void {
    if (!this.#failed.has(name)) missing.add(name)
  }

  /** Fetches what was missed; resolves when each of them has come or failed. */
  async load(names: Iterable<ExtraName>): Promise<void> {
    await Promise.all(Array.from(names, (name) => this.#loadOnce(name)))
  }

  #has(language: string): boolean {
    return this.#highlighter?.getLanguage(language) !== undefined
  }

  #loadOnce(name: ExtraName): Promise<void> {
    const running = this.#loading.get(name)
    if (running !== undefined) return running
    const started = this.#fetch(name).catch((error: unknown) => {
      this.#failed.add(name)
      console.warn(`palaver: ${name} could not be loaded, its text is shown plain`, error)
    })
    this.#loading.set(name, started)
    return started
  }

  async #fetch(name: ExtraName): Promise<void> {
    if (name === 'math') {
      this.#katex = (await import('katex')).default
      return
    }
    const language = name.slice('language:'.length)
    const wanted = [...(NEEDED_BY[language] ?? []), language]
    const [core, ...grammars] = await Promise.all([
      import('highlight.js/lib/core'),
      ...wanted.map((part) => fetchGrammar(part)),
    ])
    this.#highlighter = core.default
    wanted.forEach((part, index) => {
      const grammar = grammars[index]
      if (grammar !== undefined && !this.#has(part)) core.default.registerLanguage(part, grammar)
    })
  }
}

async function fetchGrammar(language: string): Promise<LanguageFn> {
  const fetchModule = GRAMMARS[language]
  if (fetchModule === undefined) throw new Error(`no grammar for ${language}`)
  return (await fetchModule()).default
}
