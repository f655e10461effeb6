/**
 * Where a link may lead and how it says so.
 *
 * Only absolute http, https and mailto addresses become links. The reader sees the destination's host
 * beside the words, unless the words are that address, and the whole address as the title. An address
 * with a user name in it is refused: `https://bank.example@evil.example` reads as the wrong place.
 */
import { escapeHtml } from './escape'

const PROTOCOLS = new Set(['http:', 'https:', 'mailto:'])
const ADDRESS_CHARS_MAX = 2_048
const INLINE_IMAGE = /^data:image\/(?:png|jpeg|gif|webp);base64,[A-Za-z0-9+/]+={0,2}$/

export function safeAddress(href: string): URL | null {
  if (href.length > ADDRESS_CHARS_MAX || !URL.canParse(href)) return null
  const address = new URL(href)
  if (!PROTOCOLS.has(address.protocol) || address.username !== '' || address.password !== '') return null
  return address
}

/** An image that is wholly in the text: showing it asks nobody for anything. */
export function isInlineImage(href: string): boolean {
  return INLINE_IMAGE.test(href)
}

/** `label` is HTML; `words` is the same as plain text, to compare with the address. */
export function linkHtml(address: URL, label: string, words: string, title: string | null | undefined): string {
  const destination = address.protocol === 'mailto:' ? address.pathname : address.host
  const shown = namesAddress(words, address) ? '' : ` <bdi class="md-host">(${escapeHtml(destination)})</bdi>`
  const hover = title ? `${address.href} (${title})` : address.href
  return (
    `<a href="${escapeHtml(address.href)}" title="${escapeHtml(hover)}" target="_blank"` +
    ` rel="noopener noreferrer nofollow">${label}</a>${shown}`
  )
}

function namesAddress(words: string, address: URL): boolean {
  const text = words.trim()
  if (address.protocol === 'mailto:') return text === address.pathname || text === address.href
  if (/\s/.test(text)) return false
  const candidate = /^https?:\/\//i.test(text) ? text : `https://${text}`
  // The words count only as the browser reads them: look-alike letters give another host.
  return URL.canParse(candidate) && new URL(candidate).host === address.host && text.includes('.')
}
