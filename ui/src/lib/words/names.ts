/** Initials and colours of people and agents, always the same for the same id; what rooms are called. */
import { texts } from '../texts'

export const COLOURS = 8
const ALIKE: Record<string, string> = { ı: 'i', ø: 'o', ł: 'l', đ: 'd', æ: 'ae', œ: 'oe', ς: 'σ' }

export function initials(name: string): string {
  const words = name.trim().split(/\s+/u).filter(Boolean)
  const first = [...(words[0] ?? '?')][0] ?? '?'
  const last = words.length > 1 ? ([...words.at(-1)!][0] ?? '') : ''
  return (first + last).toUpperCase()
}

export function colourOf(id: string): number {
  let hash = 2166136261
  for (let index = 0; index < id.length; index++) hash = Math.imul(hash ^ id.charCodeAt(index), 16777619)
  return (hash >>> 0) % COLOURS
}

/** Text as the title search compares it: without case and accents, and with one form of each letter; as the server does. */
export function folded(text: string): string {
  const parts = text.normalize('NFKC').toLowerCase().toUpperCase().toLowerCase().normalize('NFKD')
  return parts.replace(/[\u0300-\u036f]/g, '').replace(/[ıøłđæœς]/g, (one) => ALIKE[one] ?? one).normalize('NFKC')
}

export function roomTitle(room: { title: string } | undefined): string {
  return room?.title.trim() || texts.newChat
}
