/**
 * Rendered blocks kept beyond one message on the screen, because a list that scrolls takes messages off
 * the page and puts them back. Bounded by characters; what was used least recently goes first. Growing
 * blocks and blocks that miss an extra are not kept.
 */
import type { RenderBlock } from './document'
import type { RenderedBlock } from './render'

const CHARS_MAX = 4_000_000

export function memoized(render: RenderBlock, charsMax = CHARS_MAX): RenderBlock {
  const kept = new Map<string, RenderedBlock>()
  let chars = 0
  return (source) => {
    if (source.growing) return render(source)
    const key = JSON.stringify([source.type, source.raw, source.links])
    const known = kept.get(key)
    if (known !== undefined) {
      kept.delete(key)
      kept.set(key, known)
      return known
    }
    const rendered = render(source)
    if (rendered.missing.size > 0) return rendered
    kept.set(key, rendered)
    chars += key.length + rendered.html.length
    for (const [oldest, block] of kept) {
      if (chars <= charsMax) break
      kept.delete(oldest)
      chars -= oldest.length + block.html.length
    }
    return rendered
  }
}
