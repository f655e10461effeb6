/**
 * Puts text on the clipboard.
 *
 * Pages that are not served from a secure place have no clipboard interface; there the old copy command
 * is used, with the text put into it by hand.
 */

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
