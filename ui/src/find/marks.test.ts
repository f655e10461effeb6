import { expect, test } from 'vitest'
import { nearFirst, needlesOf, piecesOf, plain } from './marks'
import { rangesIn } from './paint'

test('places are those of code points: what stands before a hit may be of two units', () => {
  const pieces = piecesOf({ text: '👍🏽 two 𠮷野家 words', ranges: [[3, 6], [7, 9]] })
  expect(pieces).toEqual([
    { text: '👍🏽 ', hit: false }, { text: 'two', hit: true }, { text: ' ', hit: false }, { text: '𠮷野', hit: true }, { text: '家 words', hit: false },
  ])
})

test('a text without hits is one piece, and places that touch are two', () => {
  expect(piecesOf({ text: 'none', ranges: [] })).toEqual([{ text: 'none', hit: false }])
  expect(piecesOf({ text: 'abcd', ranges: [[0, 2], [2, 4]] }).map(({ text }) => text)).toEqual(['ab', 'cd'])
  expect(piecesOf({ text: '', ranges: [] })).toEqual([])
})

test('where there is one line, a text begins a little before its first hit', () => {
  const text = `${'😀'.repeat(40)} here it is`
  const near = nearFirst({ text, ranges: [[41, 45], [46, 48]] }, 4)
  expect(near.text).toBe('…😀😀😀 here it is')
  expect(piecesOf(near).filter(({ hit }) => hit).map((piece) => piece.text)).toEqual(['here', 'it'])
  expect(nearFirst({ text: 'it is', ranges: [[3, 5]] }, 4)).toEqual({ text: 'it is', ranges: [[3, 5]] })
})

/** The words that are marked in this HTML for the hits of a snippet. */
function marked(html: string, text: string, ranges: number[][]): string[] {
  const root = document.createElement('div')
  root.innerHTML = html
  return rangesIn(root, needlesOf({ text, ranges })).map(String)
}

test('words are marked across elements, in any case, and not within other words', () => {
  expect(marked('<p>The <b>ar</b>t of pArty and ART</p>', 'the art of', [[4, 7]])).toEqual(['art', 'ART'])
  expect(marked('<code><span>get</span>UserName</code> and name', 'getUserName', [[7, 11]])).toEqual(['Name', 'name'])
})

test('a phrase is found although signs of Markdown stood within it', () => {
  expect(marked('<p><b>two</b> words</p>', '**two** words', [[2, 13]])).toEqual(['two words'])
  expect(marked('<p>北京大学</p>', '北京大学', [[1, 3]])).toEqual(['京大'])
})

test('signs mean themselves, and nothing is marked without a hit', () => {
  expect(marked('<p>a =&gt; (b) [c</p>', 'a => (b) [c', [[2, 4]])).toEqual(['=>'])
  expect(marked('<p>((</p>', '((', [[0, 2]])).toEqual(['(('])
  expect(marked('<p>words</p>', 'words', [])).toEqual([])
})

/** A snippet in plain words, in which `word` was looked for, with brackets around what is marked. */
function shown(text: string, word: string): string {
  const characters = [...text]
  const wanted = [...word]
  const start = characters.findIndex((_, at) => wanted.every((one, further) => characters[at + further] === one))
  return piecesOf(plain({ text, ranges: [[start, start + wanted.length]] })).map((piece) => piece.hit ? `⟦${piece.text}⟧` : piece.text).join('')
}

test.each([
  ['👍🏽 leaves from **platform four** at noon', 'four', '👍🏽 leaves from platform ⟦four⟧ at noon'],
  ['## The *new* plan\n> of __her__ `own_name`', 'plan', 'The new ⟦plan⟧\nof her own_name'],
  ['see [the **night** train](https://example.org/a_b) now', 'night', 'see the ⟦night⟧ train now'],
  ['```python\ndef load_user(**more):\n    return `x`\n```\nso', 'load', 'def ⟦load⟧_user(**more):\n    return `x`\n\nso'],
  ['**two** words, again', 'two** words', '⟦two words⟧, again'],
  ['> ```python\n> def load():\n>     return 1\n> ```\n> so', 'load', 'def ⟦load⟧():\n    return 1\n\nso'],
  ['of four, but **no…', 'four', 'of ⟦four⟧, but no…'],
  ['…the night** train and `that` is `co…', 'train', '…the night ⟦train⟧ and that is co…'],
  ['four and [the train](https://exa…', 'four', '⟦four⟧ and the train…'],
  ['***both*** ~~gone~~ and ``a `tick` b``', 'gone', 'both ⟦gone⟧ and a `tick` b'],
])('what was found is shown in plain words: %s', (text, word, wanted) => {
  expect(shown(text, word)).toBe(wanted)
})

test.each([
  ['see [this](https://example.org/)', 'example', 'see [this](https://⟦example⟧.org/)'],
  ['*.py and 2 ** 3, see_this_one of four…', 'four', '*.py and 2 ** 3, see_this_one of ⟦four⟧…'],
  ['x ** y, snake_case_name, 2 * 3, *.py', '**', 'x ⟦**⟧ y, snake_case_name, 2 * 3, *.py'],
  ['# of the `four`', '`', 'of the ⟦`⟧four`'],
])('signs stay where they are what was looked for, or mean themselves: %s', (text, word, wanted) => {
  expect(shown(text, word)).toBe(wanted)
})
