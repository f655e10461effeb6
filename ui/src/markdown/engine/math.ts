/**
 * TeX to MathML that hides nothing.
 *
 * Only MathML, because KaTeX's HTML needs inline styles, which the page's policy blocks. What a model
 * wrote must be visible to people as it was to the model: colour, size, phantoms and overlaps are taken
 * out of the result, and TeX that could define or drop text is shown as its source.
 *
 * Browsers draw MathML Core, which has no `menclose` and no letter variants: boxes become classes and
 * variant letters become their own characters.
 */
import type katexModule from 'katex'
import { escapeHtml } from './escape'
import { variantText } from './math-letters'

export type Katex = typeof katexModule

const TEX_CHARS_MAX = 4_000
const BRACES_DEEP_MAX = 40

/** Definitions, choices and comments: text inside them would not be drawn. */
const HIDING =
  /\\(?:[egx]?def|let|futurelet|global|long|(?:re)?newcommand|providecommand|newenvironment|mathchoice|TextOrMath|html@|@|char|catcode|href|url|includegraphics|html[A-Z])|(?<!\\)%/

/** MathML of `tex`, or null when its source must be shown instead. */
export function mathHtml(katex: Katex, tex: string, display: boolean): string | null {
  if (tex.length > TEX_CHARS_MAX || HIDING.test(tex) || bracesDeep(tex) > BRACES_DEEP_MAX) return null
  let drawn: string
  try {
    drawn = katex.renderToString(tex, {
      output: 'mathml',
      displayMode: display,
      throwOnError: true,
      strict: 'ignore',
      trust: false,
      maxExpand: 200,
      maxSize: 20,
    })
  } catch (error) {
    // Unfinished or wrong TeX is ordinary in a model's answer; anything it can throw means the same.
    if (error instanceof Error) return null
    throw error
  }
  const start = drawn.indexOf('<semantics>')
  const end = drawn.lastIndexOf('<annotation')
  if (start === -1 || end === -1) return null
  const body = coreMathMl(drawn.slice(start + '<semantics>'.length, end))
  const mode = display ? ' display="block"' : ''
  return `<span class="md-math${display ? ' md-math-display' : ''}" dir="ltr"><math${mode} alttext="${escapeHtml(tex)}">${body}</math></span>`
}

/** The source in its delimiters: until KaTeX has come, and where it cannot be drawn. */
export function mathSourceHtml(raw: string): string {
  return `<code class="md-math-source" dir="ltr">${escapeHtml(raw.trim())}</code>`
}

function coreMathMl(mathMl: string): string {
  return mathMl
    .replace(/<(\/?)(?:mphantom|mpadded)\b[^>]*>/g, '<$1mrow>')
    .replace(/<menclose notation="([a-z ]+)">/g, (_match, notation: string) => {
      const classes = notation.split(' ').map((name) => `md-enclose-${name}`)
      return `<mrow class="${classes.join(' ')}">`
    })
    .replace(/<(\/?)menclose\b[^>]*>/g, '<$1mrow>')
    .replace(/<(mi|mn|mo|ms|mtext) mathvariant="([a-z-]+)">([^<]*)</g, (_match, tag: string, variant: string, text: string) =>
      tag === 'mtext'
        ? `<mtext class="md-variant-${variant}">${text}<`
        : `<${tag}${variant === 'normal' ? ' mathvariant="normal"' : ''}>${variantText(text, variant)}<`,
    )
}

function bracesDeep(tex: string): number {
  let depth = 0
  let deepest = 0
  for (const character of tex) {
    if (character === '{') deepest = Math.max(deepest, ++depth)
    else if (character === '}') depth -= 1
  }
  return deepest
}
