/**
 * What a message's content holds beside its text: images and files, in the shapes of Chat Completions and of Responses.
 *
 * Only a picture that is in the message itself is shown: the page loads nothing from elsewhere. Everything else is named.
 */
import { BASE } from '../server/base'
import { later } from '../texts-later'

export type Part =
  | { kind: 'image'; src: string }
  | { kind: 'link'; name: string; href: string }
  | { kind: 'file'; name: string }

const SHOWN = /^data:image\/(png|jpeg|gif|webp|avif|bmp)[;,]/i
/** Where the server keeps a picture that is too long for a list of messages. */
const KEPT = /^\/api\/messages\/m_[0-9a-f]{32}\/parts\/\d+$/
const TEXTS = new Set(['text', 'input_text', 'output_text', 'refusal', 'summary_text', 'reasoning_text'])

export function partsOf(parts: unknown): Part[] {
  return Array.isArray(parts) ? parts.flatMap((part) => shown(part) ?? []) : []
}

function shown(part: unknown): Part | null {
  const type = field(part, 'type')
  if (type === null || TEXTS.has(type)) return null
  switch (type) {
    case 'image_url':
    case 'input_image':
      return image(field(part, 'image_url') ?? field(field(part, 'image_url', 'object'), 'url'))
    case 'input_audio':
      return { kind: 'file', name: named(later.parts.audio, field(field(part, 'input_audio', 'object'), 'format')) }
    case 'file':
    case 'input_file': {
      const inner = field(part, 'file', 'object') ?? part
      const name = field(inner, 'filename') ?? field(inner, 'file_id')
      const href = web(field(inner, 'file_url'))
      return href ? { kind: 'link', name: named(later.parts.file, name), href } : { kind: 'file', name: named(later.parts.file, name) }
    }
    default:
      return { kind: 'file', name: named(later.parts.content, type) }
  }
}

function image(url: string | null): Part {
  if (url !== null && (SHOWN.test(url) || KEPT.test(url))) return { kind: 'image', src: KEPT.test(url) ? BASE + url.slice(1) : url }
  const href = web(url)
  return href ? { kind: 'link', name: named(later.parts.image, new URL(href).host), href } : { kind: 'file', name: later.parts.image }
}

function web(url: string | null): string | null {
  return url !== null && /^https?:\/\//i.test(url) && URL.canParse(url) ? url : null
}

function named(what: string, name: string | null): string {
  return name ? `${what}: ${name}` : what
}

function field(value: unknown, name: string): string | null
function field(value: unknown, name: string, type: 'object'): object | null
function field(value: unknown, name: string, type: 'string' | 'object' = 'string'): unknown {
  const found = value !== null && typeof value === 'object' ? (value as Record<string, unknown>)[name] : null
  return typeof found === type ? (found ?? null) : null
}
