/** Finds http and https addresses in plain text, and code in a line. Everything else, also other schemes, stays text. */
export interface LinkPart {
  text: string
  href: string | null
  /** It stood between backticks. */
  code?: boolean
}

/** Punctuation of scripts without spaces, and quotes and dashes that no address has. */
const STOP = /[\u2014\u2018-\u201d\u2026\u3001-\u3003\u3008-\u3020\u3030\ufe10-\ufe19\ufe30-\ufe6b\uff01-\uff0f\uff1a-\uff20\uff3b-\uff40\uff5b-\uff65]/u
const HOST = /^(?:\w+:\/\/)?[\w.-]*\.[a-z]{2,}(?=[\p{sc=Han}\p{sc=Hiragana}\p{sc=Katakana}\p{sc=Hangul}])/iu
const ADDRESS = /https?:\/\/[^\s<>"'`]+/giu
const TRAILING = /[.,;:!?)\]}»”’]+$/u

/** Where a bare address at the start of this text ends, sooner than at the next space; null if not sooner. */
export function addressEnd(text: string): number | null {
  const address = /^(?:https?:\/\/|www\.)[^\s<]*/iu.exec(text)?.[0] ?? ''
  const host = HOST.exec(address)?.[0].length
  const stop = address.search(STOP)
  return host ?? (stop === -1 ? null : stop)
}

/** What somebody typed: their code between single backticks as such, and addresses in the rest. */
export function typedParts(text: string): LinkPart[] {
  return text.split(/(?<!`)`(?!`)([^`\n]+)`(?!`)/u).flatMap((part, place) => (place % 2 ? { text: part, href: null, code: true } : linkParts(part)))
}

export function linkParts(text: string): LinkPart[] {
  const parts: LinkPart[] = []
  let from = 0
  const addresses = new RegExp(ADDRESS)
  for (let match = addresses.exec(text); match; match = addresses.exec(text)) {
    const address = trimmed(match[0].slice(0, addressEnd(match[0]) ?? undefined))
    if (!isAddress(address)) continue
    addresses.lastIndex = match.index + address.length
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
