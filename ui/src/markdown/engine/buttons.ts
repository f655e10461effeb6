/** The copy buttons of code blocks: one listener per message, because the blocks are HTML. What is copied is the code's exact text. */
import { code as say } from '../../lib/texts-chat'
import { copyText } from '../copy'

const SHOWN_MILLISECONDS = 1_500

/** A Svelte attachment. */
export function copyButtons(root: HTMLElement): () => void {
  const onClick = (event: MouseEvent) => {
    const button = event.target instanceof Element ? event.target.closest<HTMLElement>('button.md-copy') : null
    const code = button?.closest('.md-code')?.querySelector('pre > code')
    if (!button || !code) return
    void copyText(code.textContent ?? '').then((copied) => showResult(button, copied))
  }
  root.addEventListener('click', onClick)
  return () => root.removeEventListener('click', onClick)
}

function showResult(button: HTMLElement, copied: boolean): void {
  button.textContent = copied ? say.copied : say.notCopied
  button.setAttribute('aria-label', copied ? say.copiedName : say.notCopiedName)
  setTimeout(() => {
    button.textContent = say.copy
    button.setAttribute('aria-label', say.name)
  }, SHOWN_MILLISECONDS)
}
