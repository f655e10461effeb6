/** Finds http and https addresses in plain text. Everything else, also other schemes, stays text. */
export interface LinkPart {
  text: string
  href: string | null
}

const ADDRESS = /https?:\/\/[^\s<>"'`]+/giu
const TRAILING = /[.,;:!?)\]}»”’]+$/u

export function linkParts(text: string): LinkPart[] {
  const parts: LinkPart[] = []
  let from = 0
  for (const match of text.matchAll(ADDRESS)) {
    const address = trimmed(match[0])
    if (!isAddress(address)) continue
    if (match.index > from) parts.push({ text: text.slice(from, match.index), href: null })
    parts.push({ text: address, href: address })
    from = match.index + address.length
  }
  if (from < text.length) parts.push({ text: text.slice(from), href: null })
  return parts
}

/** Without the punctuation that ends the sentence; a closing bracket stays when its opening one is inside. */
function trimmed(address: string): string {
  const cut = address.replace(TRAILING, '')
  return address[cut.length] === ')' && cut.includes('(') && !cut.includes(')') ? `${cut})` : cut
}

function isAddress(text: string): boolean {
  try {
    return ['http:', 'https:'].includes(new URL(text).protocol)
  } catch {
    return false
  }
}
