/** The engine as the page uses it, for tests: no fake of our own code. */
import { MarkdownDocument, type RenderBlock } from '../engine/document'
import { Extras } from '../engine/extras'
import { BlockRenderer } from '../engine/render'

export interface Rendering {
  extras: Extras
  render: RenderBlock
}

export function createRendering(): Rendering {
  const extras = new Extras()
  const renderer = new BlockRenderer(extras, window)
  return { extras, render: (source) => renderer.render(source) }
}

/** The whole text, finished, with the extras that are here. */
export function renderNow(rendering: Rendering, text: string): string {
  return new MarkdownDocument(rendering.render).update(text, false).join('\n')
}

/** The whole text, finished, after every extra it asks for has come. */
export async function renderFully(rendering: Rendering, text: string): Promise<string> {
  const opened = new MarkdownDocument(rendering.render)
  opened.update(text, false)
  const missing = opened.missing
  await rendering.extras.load(missing)
  opened.refresh(missing)
  return opened.update(text, false).join('\n')
}

export function parsed(html: string): HTMLElement {
  const root = document.createElement('div')
  root.innerHTML = html
  return root
}
