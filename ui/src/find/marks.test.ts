import { expect, test } from 'vitest'
import { nearFirst, needlesOf, piecesOf } from './marks'
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
