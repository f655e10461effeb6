/** What a message may contain and how it is shown. */
import { beforeAll, describe, expect, test } from 'vitest'
import { Extras } from '../engine/extras'
import { BlockRenderer } from '../engine/render'
import { memoized } from '../engine/memo'
import { languageOf, GRAMMARS } from '../engine/languages'
import { createRendering, parsed, renderFully, renderNow } from './support'

const rendering = createRendering()

beforeAll(async () => {
  await rendering.extras.load(['math', 'language:python'])
})

const show = (text: string) => parsed(renderNow(rendering, text))

describe('formulas', () => {
  test.each([
    ['$x$', 'x'],
    ['$x^2$', 'x^2'],
    ['a ($n$) b', 'n'],
    ['the $n$th and $k$-th', 'n'],
    ['$5x + 3$', '5x + 3'],
    ['$2^{10}$', '2^{10}'],
    ['\\(a_b\\)', 'a_b'],
    ['**$E = mc^2$**', 'E = mc^2'],
    ['*so $a*b$ is*', 'a*b'],
    ['$100$ apples', '100'],
    ['- $a$', 'a'],
    ['| x |\n|---|\n| $a$ |', 'a'],
  ])('%j is one', (text, tex) => {
    expect(show(text).querySelector('math')?.getAttribute('alttext')).toBe(tex)
  })

  test.each(['$$x$$', '\\[x\\]', '$$\nx\n$$', 'so\n$$\nx\n$$\nthen', 'so \\[x\\] then'])('%j is one on its own line', (text) => {
    expect(show(text).querySelector('math')?.getAttribute('display')).toBe('block')
  })

  test.each([
    '$5 and $6',
    'from $5 to $10',
    '$5-$6',
    '$1,000 or 900$',
    'It costs $5, or 6$ there',
    '$20/month vs 30$',
    'US$5 and 10$',
    '\\$x\\$',
    '$ x $',
    '`$x$`',
    '$HOME/$USER',
    '$AAPL, ($MSFT)',
    '$a\nb$',
    '$5M and 6M$',
    '$3 (three) and 4$',
    '\\\\(not)',
    '```\n$x$\n```',
    '$$',
    'a $$ b',
  ])('%j is none', (text) => {
    const root = show(text)
    expect(root.querySelector('math')).toBeNull()
    expect(root.querySelector('.md-math-source')).toBeNull()
  })

  test('wrong TeX is shown as its source', () => {
    expect(show('$\\frac{a$').querySelector('.md-math-source')?.textContent).toBe('$\\frac{a$')
  })

  test('letters of other alphabets are their own characters', () => {
    expect(show('$\\mathbb{R} \\mathbf{x} \\mathcal{L}$').textContent).toContain('ℝ𝐱ℒ')
  })

  test('columns keep their sides', () => {
    const cells = show('$$\\begin{aligned}a&=b\\\\c&=d\\end{aligned}$$').querySelectorAll('mtd')
    expect(Array.from(cells, (cell) => cell.getAttribute('class'))).toEqual([
      'md-cell-right', 'md-cell-left', 'md-cell-right', 'md-cell-left',
    ])
  })

  test('have no inline style', () => {
    expect(renderNow(rendering, '$$\\boxed{\\frac{a}{b}} \\cancel{x} \\underbrace{y}_{z}$$')).not.toMatch(/\sstyle=/)
  })
})

describe('links', () => {
  test('open elsewhere and tell nobody', () => {
    const link = show('[words](https://a.example/path?q=1)').querySelector('a')
    expect(link?.target).toBe('_blank')
    expect(link?.rel).toBe('noopener noreferrer nofollow')
    expect(link?.title).toBe('https://a.example/path?q=1')
  })

  test.each([
    ['[words](https://a.example/x)', '(a.example)'],
    ['[https://bank.example](https://evil.example/)', '(evil.example)'],
    ['[bank.example](https://evil.example/)', '(evil.example)'],
    ['[https://bаnk.example](https://bank.example/)', '(bank.example)'],
    ['[write](mailto:a@b.example)', '(a@b.example)'],
    ['![x](https://a.example/i.png)', '(a.example)'],
  ])('%s says where it goes', (text, host) => {
    expect(show(text).querySelector('.md-host')?.textContent).toBe(host)
  })

  test.each(['https://a.example/x', '<https://a.example>', '[a.example](https://a.example/y)', 'a@b.example'])(
    '%s already says it',
    (text) => {
      const root = show(text)
      expect(root.querySelectorAll('a')).toHaveLength(1)
      expect(root.querySelector('.md-host')).toBeNull()
    },
  )

  test.each(['[here](/r/room)', '[here](#part)', '[here](../x)', '[here](//a.example)', '[x](ftp://a.example)', '[x](https://bank.example@evil.example/)'])(
    '%s stays text',
    (text) => {
      const root = show(text)
      expect(root.querySelector('a')).toBeNull()
      expect(root.textContent?.trim()).toBe(text)
    },
  )
})

describe('code', () => {
  test.each([
    ['plain', 'a\n\n  b\n\tc'],
    ['space at the ends', '\n  a  \n\n'],
    ['marks', '<b>&amp;</b> "quoted" \'single\' `tick` $x$ **no**'],
    ['python', 'def f(x: int) -> str:\n    """Doc."""\n    return f"{x!r} <&>"  # note'],
    ['wide letters', 'سلام — 你好 — 🙂'],
  ])('of %s is copied exactly', async (_name, code) => {
    for (const label of ['', 'python', 'nonsense']) {
      const root = parsed(await renderFully(rendering, `text\n\n~~~~${label}\n${code}\n~~~~\n`))
      expect(root.querySelector('pre > code')?.textContent).toBe(code)
      expect(root.querySelectorAll('button.md-copy')).toHaveLength(1)
    }
  })

  test('has its language as label and its colours when they are here', async () => {
    const root = parsed(await renderFully(rendering, '```py title="x"\nimport os\n```'))
    expect(root.querySelector('.md-code-label')?.textContent).toBe('py')
    expect(root.querySelector('.hljs-keyword')?.textContent).toBe('import')
  })

  test('is plain until its colours come', () => {
    const fresh = createRendering()
    const rendered = fresh.render({ raw: '```python\nimport os\n```', type: 'code', links: {}, growing: false })
    expect([...rendered.missing]).toEqual(['language:python'])
    expect(parsed(rendered.html).querySelector('code')?.innerHTML).toBe('import os')
  })

  test('has a grammar that loads for every language it names', async () => {
    const extras = new Extras()
    const names = Object.keys(GRAMMARS)
    await extras.load(names.map((name) => `language:${name}`))
    for (const name of names) {
      const missing = new Set<string>()
      extras.codeHtml('x', name, false, missing)
      expect([...missing]).toEqual([])
    }
  })

  test('labels of other objects are no languages', () => {
    for (const label of ['constructor', '__proto__', 'toString', '']) expect(languageOf(label)).toBeNull()
  })
})

describe('scripts without spaces', () => {
  const marked = (text: string, tag: string) => Array.from(show(text).querySelectorAll(tag), (found) => found.textContent)

  test.each([
    ['**太字です。**この文。', ['太字です。']],
    ['**「A」**なので**「B」**です', ['「A」', '「B」']],
    ['**重要提示（Important）：**请注意。', ['重要提示（Important）：']],
    ['他说**“你好”**吗', ['“你好”']],
    ['我可以强调**这个`code`**吗', ['这个code']],
    ['**이 용어(This term)**를 강조', ['이 용어(This term)']],
    ['패키지는 **`npm publish`**를 실행', ['npm publish']],
    ['**あ、**い**う、**え', ['あ、', 'う、']],
    ['**𠮷（よし）**𠮷**(b)**', ['𠮷（よし）', '(b)']],
    ['これは**太字**です', ['太字']],
    ['- **要点：**说明', ['要点：']],
    ['| a |\n|---|\n| **甲。**乙 |', ['甲。']],
    ['**bold**, a**b**c and **"so"** it is', ['bold', 'b', '"so"']],
    ['5 ** 3 ** 2, a** b** and **（ ）', []],
    ['a**"A"**b', []],
  ])('%j: what is bold', (text, bold) => {
    expect(marked(text, 'strong')).toEqual(bold)
  })

  test.each([
    ['*斜体（括号）。*继续', ['斜体（括号）。']],
    ['***両方。***次', ['両方。']],
    ['snake_case_中文_文_中 and 中_(a)_中', []],
    ['_（a）_ *「b」*、c', ['（a）', '「b」']],
  ])('%j: what is slanted', (text, slanted) => {
    expect(marked(text, 'em')).toEqual(slanted)
  })

  test.each([['~~削除。~~この文', ['削除。']], ['~~旧（已废弃）~~新', ['旧（已废弃）']], ['**~~両方。~~**次', ['両方。']]])(
    '%j: what is struck',
    (text, struck) => {
      expect(marked(text, 'del')).toEqual(struck)
    },
  )

  test.each([
    ['詳しくは https://example.com/path。次の文', 'https://example.com/path'],
    ['https://example.com/guide，详见', 'https://example.com/guide'],
    ['（https://example.com/a）を見る', 'https://example.com/a'],
    ['请看“https://example.com/a?b=1”。', 'https://example.com/a?b=1'],
    ['見てhttps://example.comを', 'https://example.com'],
    ['https://ja.wikipedia.org/wiki/日本、と', 'https://ja.wikipedia.org/wiki/日本'],
    ['https://example.com/a—so', 'https://example.com/a'],
    ['www.example.com。次', 'www.example.com'],
    ['https://a.example/x_(y).', 'https://a.example/x_(y)'],
  ])('%j: where the address ends', (text, address) => {
    expect(marked(text, 'a')).toEqual([address])
  })
})

describe('the rest of the grammar', () => {
  test('tables scroll in a frame that has a name', () => {
    const frame = show('| a | b |\n|:--|--:|\n| 1 | 2 |').querySelector('.md-table')
    expect(frame?.getAttribute('aria-label')).toBe('Table')
    expect(frame?.querySelector('td:last-child')?.className).toBe('md-cell-right')
  })

  test('a table cell may break its line', () => {
    expect(show('| a |\n|---|\n| 1<br>2 |').querySelector('td')?.innerHTML).toBe('1<br>2')
  })

  test('tasks say whether they are done', () => {
    const signs = show('- [ ] a\n- [x] b').querySelectorAll('.md-task')
    expect(Array.from(signs, (sign) => sign.getAttribute('aria-label'))).toEqual(['not done', 'done'])
  })

  test('one tilde is a tilde, two strike out', () => {
    const root = show('~5 to ~10 and ~~gone~~')
    expect(Array.from(root.querySelectorAll('del'), (element) => element.textContent)).toEqual(['gone'])
  })

  test('Markdown between tags stays Markdown', () => {
    expect(show('<details>\n\n**bold**\n\n</details>').querySelector('strong')?.textContent).toBe('bold')
  })

  test('character references are characters', () => {
    expect(show('&lt;b&gt; &amp; &copy;').textContent?.trim()).toBe('<b> & ©')
  })

  test('line ends of every system are the same', () => {
    expect(renderNow(rendering, '# a\r\n\r\n- b\r- c')).toBe(renderNow(rendering, '# a\n\n- b\n- c'))
  })
})

describe('kept blocks', () => {
  const source = (raw: string) => ({ raw, type: 'paragraph', links: {}, growing: false })

  test('are not rendered again, and the oldest go first', () => {
    const renderer = new BlockRenderer(new Extras(), window)
    let count = 0
    const render = memoized((block) => {
      count += 1
      return renderer.render(block)
    }, 300)
    render(source('one'))
    render(source('one'))
    expect(count).toBe(1)
    for (let index = 0; index < 10; index += 1) render(source(`other ${index}`))
    render(source('one'))
    expect(count).toBe(12)
  })
})
