/**
 * Marks the words of hits in messages as they are shown, by the browser's own highlights: nothing of the document
 * changes. A browser that has none marks nothing.
 */
import type { Snippet } from '../lib/protocol'
import { needlesOf, type Needle } from './marks'
import './paint.css'

const NAME = 'found'
/** Those at which one is. */
const HERE = 'found-here'
/** Between the words of a phrase there may be signs of Markdown that are not shown, or other blanks. */
const BETWEEN = '[^\\p{L}\\p{N}\\p{M}]{1,8}'

/** Where they stand in what is shown of a text, also across its elements. */
export function rangesIn(root: Element, needles: readonly Needle[]): Range[] {
  const pattern = patternOf(needles)
  if (!pattern) return []
  const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT)
  const nodes: { node: Node; start: number }[] = []
  let text = ''
  while (walker.nextNode()) {
    nodes.push({ node: walker.currentNode, start: text.length })
    text += walker.currentNode.nodeValue ?? ''
  }
  return [...text.matchAll(pattern)].map(({ 0: found, index }) => {
    const range = document.createRange()
    const [from, to] = [index, index + found.length - 1].map((at) => nodes.findLast(({ start }) => start <= at)!)
    range.setStart(from!.node, index - from!.start)
    range.setEnd(to!.node, index + found.length - to!.start)
    return range
  })
}

function patternOf(needles: readonly Needle[]): RegExp | null {
  const patterns = needles.map(({ text, begins, ends }) => {
    const words = text.split(/[^\p{L}\p{N}\p{M}]+/u).filter(Boolean)
    const inner = words.length > 0 ? words.join(BETWEEN) : text.trim().replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&')
    if (inner === '') return ''
    const [before, after] = words.length > 0 ? [begins, ends] : [false, false]
    return `${before ? '(?<![\\p{L}\\p{N}\\p{M}])' : ''}${inner}${after ? '(?![\\p{L}\\p{N}\\p{M}])' : ''}`
  })
  const distinct = [...new Set(patterns)].filter(Boolean)
  return distinct.length > 0 ? new RegExp(distinct.join('|'), 'giu') : null
}

/** Where the text of a message is shown, or what is shown of a step of a run. */
function textsOf(row: Element): Iterable<Element> {
  const texts = row.querySelectorAll('[data-testid=message-text]')
  return texts.length > 0 ? texts : [row]
}

/** What was looked for in a message of a list, to which one is led. */
export interface Sought {
  /** So far from the top of the view it stands at least. */
  readonly margin: number
  /** Where it stands first, as far as it is seen. */
  place(list: Element, seq: number): DOMRect | undefined
  /** Marks it until the `end`. */
  mark(list: Element, seq: number): void
  end(): void
}

/** The words of a hit. `within`: all hits are marked already, by what lies over the top of the list. */
export function sought(snippet: Snippet, within = false): Sought {
  const needles = needlesOf(snippet)
  let end = (): void => undefined
  return {
    margin: within ? 72 : 24,
    place(list, seq) {
      const row = list.querySelector(`[data-seq="${seq}"], [data-step="${seq}"]`)
      const ranges = row === null ? [] : [...textsOf(row)].flatMap((text) => rangesIn(text, needles))
      return ranges.map((range) => range.getBoundingClientRect()).find(({ height }) => height > 0)
    },
    mark(list, seq) {
      end()
      if (!within) end = painted(list, new Map([[seq, needles]]), seq)
    },
    end: () => end(),
  }
}

/** Marks them in the messages of a list, and otherwise in the one at `here`, also when these are drawn anew, until it is called off. */
export function painted(list: Element, hits: ReadonlyMap<number, readonly Needle[]>, here: number | undefined): () => void {
  if (!('highlights' in CSS) || hits.size === 0) return () => undefined
  let frame = 0
  const paint = (): void => {
    frame = 0
    const [all, current] = [new Highlight(), new Highlight()]
    for (const row of list.querySelectorAll<HTMLElement>('[data-seq], [data-step]')) {
      const seq = Number(row.dataset.seq ?? row.dataset.step)
      for (const text of textsOf(row)) {
        for (const range of rangesIn(text, hits.get(seq) ?? [])) (seq === here ? current : all).add(range)
      }
    }
    CSS.highlights.set(NAME, all)
    CSS.highlights.set(HERE, current)
  }
  const observer = new MutationObserver(() => (frame ||= requestAnimationFrame(paint)))
  observer.observe(list, { childList: true, subtree: true, characterData: true })
  paint()
  return () => {
    observer.disconnect()
    cancelAnimationFrame(frame)
    CSS.highlights.delete(NAME)
    CSS.highlights.delete(HERE)
  }
}
