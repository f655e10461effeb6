/**
 * The copy buttons of code blocks: one listener per message, because the blocks are HTML.
 *
 * What is copied is the code's exact text. Pages that are not served from a secure place have no
 * clipboard interface; there the old copy command is used, with the text put into it by hand.
 */
import { texts } from '../lib/texts'

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

/** True when the text is on the clipboard. */
export async function copyText(text: string): Promise<boolean> {
  const clipboard = (navigator as Partial<Navigator>).clipboard
  if (clipboard === undefined) return copyByCommand(text)
  try {
    await clipboard.writeText(text)
    return true
  } catch (error) {
    // Without permission or focus the old command may still work.
    if (error instanceof DOMException) return copyByCommand(text)
    throw error
  }
}

function copyByCommand(text: string): boolean {
  const onCopy = (event: ClipboardEvent) => {
    event.clipboardData?.setData('text/plain', text)
    event.preventDefault()
  }
  document.addEventListener('copy', onCopy, { once: true })
  const copied = document.execCommand('copy')
  document.removeEventListener('copy', onCopy)
  return copied
}

function showResult(button: HTMLElement, copied: boolean): void {
  const say = texts.code
  button.textContent = copied ? say.copied : say.notCopied
  button.setAttribute('aria-label', copied ? say.copiedName : say.notCopiedName)
  setTimeout(() => {
    button.textContent = say.copy
    button.setAttribute('aria-label', say.name)
  }, SHOWN_MILLISECONDS)
}
