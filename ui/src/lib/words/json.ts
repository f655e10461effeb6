/** JSON for people: indented, shortened to a line, and its size in words. */

const PREVIEW_CHARS = 120
/** Of a text that is no words: a picture, a file. */
const DATA_CHARS_MAX = 400
const TEXT_CHARS_MAX = 20_000

/** Indented, if it is JSON; else the text as it is, such as arguments that were cut. */
export function pretty(text: string): string {
  try {
    return JSON.stringify(JSON.parse(text), null, 2)
  } catch {
    return text
  }
}

/** Indented, with the ends of pictures, files and very long texts left out. */
export function abridged(value: unknown): string {
  return JSON.stringify(value, (_, part: unknown) => (typeof part === 'string' ? cut(part) : part), 2)
}

function cut(text: string): string {
  const most = /\s/u.test(text) ? TEXT_CHARS_MAX : DATA_CHARS_MAX
  return text.length > most ? `${text.slice(0, most)}… (${sizeOf(text)} in all)` : text
}

/** The beginning of a text in one line. */
export function oneLine(text: string): string {
  const line = text.slice(0, PREVIEW_CHARS * 4).replace(/\s+/gu, ' ').trim()
  const letters = [...line]
  return letters.length > PREVIEW_CHARS ? `${letters.slice(0, PREVIEW_CHARS).join('')}…` : line
}

/** What a call is given, as a programmer would write it: `city: "Oslo", days: 3`. */
export function argumentsLine(text: string): string {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return oneLine(text)
  }
  if (value === null || typeof value !== 'object' || Array.isArray(value)) return oneLine(text)
  return oneLine(
    Object.entries(value)
      .map(([name, given]) => `${name}: ${JSON.stringify(given)}`)
      .join(', '),
  )
}

/** How much a text takes in UTF-8. */
export function sizeOf(text: string): string {
  const bytes = new TextEncoder().encode(text).length
  if (bytes < 1000) return `${bytes} bytes`
  return bytes < 1_000_000 ? `${(bytes / 1000).toFixed(1)} kB` : `${(bytes / 1_000_000).toFixed(1)} MB`
}

/** A text as a block of code in Markdown; what is in it cannot end the block. */
export function fenced(text: string, language: string): string {
  const longest = Math.max(2, ...(text.match(/`+/gu) ?? []).map((run) => run.length))
  const fence = '`'.repeat(longest + 1)
  return `${fence}${language}\n${text}\n${fence}`
}
