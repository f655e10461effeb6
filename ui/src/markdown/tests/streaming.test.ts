/** A text that grows ends as the text at once, and finished blocks are left alone. */
import { beforeAll, describe, expect, test } from 'vitest'
import { MarkdownDocument } from '../engine/document'
import type { BlockSource } from '../engine/render'
import { createRendering } from './support'

const rendering = createRendering()

beforeAll(async () => {
  await rendering.extras.load(['math', 'language:python'])
})

const PIECES = [
  '# A heading',
  'A paragraph with **bold**, *soft*, `code` and [a link](https://a.example/x).\nIts second line.',
  '- one\n- two\n  - deep\n\n  more of two\n- three',
  '1. first\n\n2. second\n\n   ```python\n   print("in a list")\n   ```',
  '```python\ndef f(x):\n\n    return "a `b`"\n```',
  '~~~\ntildes\n\n~~~',
  '> quoted\nlazy\n>\n> > twice',
  '| a | b |\n|---|:-:|\n| 1 | **2** |\n| 3 |',
  '$$\na\n- b\n+ c\n$$',
  '\\[ x^2 \\]',
  'inline $x_1$ and \\(y_2\\), price $5 and $6',
  'Title\n=====',
  'Other\n---',
  '---',
  '    indented code\n\n    more',
  'see [later][r] and [r]',
  '[r]: https://late.example/y "title"',
  '<div>\n<b>html</b>\n</div>',
  'text\n$$ never closed',
  '- [ ] open\n- [x] done',
  'line\n# heading right after\nline',
  'para\n- list right after\n\n  inside\nlazy',
  '![image](https://a.example/i.png)',
  'سلام **world**',
  '**太字です。**この文は *斜体（括号）。*継続 https://example.com/path。次',
  '* a\n\n\n* b\n\n\n\ntext',
]

/** Always the same sequence: a failing text can be found again. */
function* chances(seed: number): Generator<number> {
  let state = seed
  for (;;) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    yield state / 2 ** 32
  }
}

function texts(count: number): string[] {
  const chance = chances(20_261_120)
  const next = (below: number) => Math.floor((chance.next().value ?? 0) * below)
  return Array.from({ length: count }, () => {
    const pieces = Array.from({ length: 2 + next(6) }, () => PIECES[next(PIECES.length)] ?? '')
    return pieces.reduce((text, piece) => text + (next(4) === 0 ? '\n' : '\n\n') + piece)
  })
}

describe('a text that grows', () => {
  test.each([...PIECES, ...texts(40)])('ends as at once: %j', (text) => {
    const atOnceStreaming = new MarkdownDocument(rendering.render).update(text, true)
    const atOnce = new MarkdownDocument(rendering.render).update(text, false)
    const growing = new MarkdownDocument(rendering.render)
    let html: string[] = []
    for (let end = 1; end <= text.length; end += 1) html = growing.update(text.slice(0, end), true)
    expect(html).toEqual(atOnceStreaming)
    expect(growing.update(text, false)).toEqual(atOnce)
  })

  test('renders a finished block once', () => {
    const rendered: string[] = []
    const growing = new MarkdownDocument((source: BlockSource) => {
      if (!source.growing) rendered.push(source.raw.trim())
      return rendering.render(source)
    })
    const blocks = ['# Heading', 'First paragraph.', '```python\nx = 1\n```', '- a\n- b', 'Last paragraph.']
    const text = blocks.join('\n\n')
    for (let end = 1; end <= text.length; end += 1) growing.update(text.slice(0, end), true)
    growing.update(text, false)
    expect(rendered).toEqual(blocks)
  })

  test('shows half-written emphasis and code as what they become', () => {
    const half = new MarkdownDocument(rendering.render)
    expect(half.update('this is **bol', true)[0]).toContain('<strong>bol</strong>')
    expect(half.update('this is `cod', true)[0]).toContain('<code dir="auto">cod</code>')
    expect(half.update('see [the pa', true)[0]).not.toContain('<a')
  })

  test('shows an unfinished code block as code', () => {
    const half = new MarkdownDocument(rendering.render)
    expect(half.update('```python\nprint(1', true)[0]).toContain('<pre')
  })

  test('gives a reference its link when the definition comes', () => {
    const growing = new MarkdownDocument(rendering.render)
    expect(growing.update('see [it][r]\n\nmore', true)[0]).not.toContain('<a')
    expect(growing.update('see [it][r]\n\nmore\n\n[r]: https://a.example/', true)[0]).toContain('href="https://a.example/"')
  })

  test('may also be replaced by another text', () => {
    const replaced = new MarkdownDocument(rendering.render)
    replaced.update('first **text**\n\nof two', true)
    expect(replaced.update('other', true)).toEqual(new MarkdownDocument(rendering.render).update('other', true))
  })

  test('costs about the same per piece however long it is', () => {
    const text = Array.from({ length: 200 }, (_, index) => `Paragraph ${index} with **bold** and \`code\`.`).join('\n\n')
    let read = 0
    const growing = new MarkdownDocument((source: BlockSource) => {
      read += source.raw.length
      return { html: '', missing: new Set() }
    })
    for (let end = 10; end <= text.length; end += 10) growing.update(text.slice(0, end), true)
    // Each block is rendered for its own pieces only: about half its length, as often as it has pieces.
    expect(read).toBeLessThan(text.length * 6)
  })
})
