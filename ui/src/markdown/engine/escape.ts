/** Text into HTML: nothing of it can open a tag, close an attribute or name a character. */

const REPLACEMENTS: Record<string, string> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
}

export function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => REPLACEMENTS[character] ?? character)
}

/** Text that is shown as it was written, with its own line breaks. */
export function plainHtml(text: string): string {
  return `<div class="md-plain">${escapeHtml(text)}</div>`
}
