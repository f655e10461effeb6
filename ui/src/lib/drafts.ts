/** What was typed and not sent, per room; a browser without storage forgets it with the page. */
const PREFIX = 'palaver.draft.'

export function draftOf(room: string | null): string {
  try {
    return localStorage.getItem(PREFIX + (room ?? '')) ?? ''
  } catch {
    return ''
  }
}

export function keepDraft(room: string | null, text: string): void {
  try {
    if (text.trim() === '') localStorage.removeItem(PREFIX + (room ?? ''))
    else localStorage.setItem(PREFIX + (room ?? ''), text)
  } catch {
    // Without storage there is nothing to keep.
  }
}
