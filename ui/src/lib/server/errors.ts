/**
 * Every refusal and failure the page can meet, and what it says to the person about it.
 *
 * A code or a server's detail is never shown raw: unknown codes get a sentence by their nature.
 */
import { OTHERWISE, REQUEST_TEXTS, texts } from '../texts'

export class Problem extends Error {
  readonly code: string
  readonly temporary: boolean
  readonly retryMs: number | null
  readonly status: number

  constructor(code: string, options: { temporary?: boolean; retryMs?: number; status?: number } = {}) {
    super(code)
    this.name = 'Problem'
    this.code = code
    this.temporary = options.temporary ?? false
    this.retryMs = options.retryMs ?? null
    this.status = options.status ?? 0
  }
}

/** How many characters a text has, as the server counts them: Unicode code points. */
export function charactersIn(text: string): number {
  return text.length - (text.match(/[\ud800-\udbff][\udc00-\udfff]/g)?.length ?? 0)
}

/** What is too long, and by how much. */
export function tooLongText(text: string, limit: number): string {
  const [has, may] = [charactersIn(text).toLocaleString(), limit.toLocaleString()]
  return texts.composer.tooLong(has, may)
}

/** Whether the server does not accept the address of this page. */
export function isRefusal(error: unknown): boolean {
  return error instanceof Problem && (error.code === 'origin_refused' || error.code === 'host_refused')
}

export function problemText(error: unknown): string {
  if (!(error instanceof Problem)) return OTHERWISE.broken
  const known = REQUEST_TEXTS[error.code]
  if (known) return known
  if (error.temporary) return OTHERWISE.temporary
  if (error.status === 404) return OTHERWISE.gone
  if (error.status === 403) return OTHERWISE.forbidden
  return OTHERWISE.refused
}
