/**
 * The way of a call of REST to the server and back. Failures become a `Problem` with the server's code.
 */
import { BASE } from './base'
import { Problem } from './errors'

interface ProblemDetails {
  code?: string
  temporary?: boolean
}

const REQUEST_MS = 20_000

export class Calls {
  /** One call: its answer, or a `Problem`. */
  async call<T>(method: string, path: string, body?: object): Promise<T> {
    let response: Response
    try {
      response = await fetch(`${BASE}api${path}`, {
        method,
        headers: body && !(body instanceof Blob) ? { 'Content-Type': 'application/json' } : {},
        body: body && !(body instanceof Blob) ? JSON.stringify(body) : body,
        signal: AbortSignal.timeout(REQUEST_MS),
      })
    } catch {
      throw new Problem('offline', { temporary: true })
    }
    if (!response.ok) throw await problemOf(response)
    if (response.status === 204) return undefined as T
    try {
      return (await response.json()) as T
    } catch {
      throw new Problem('bad_answer', { temporary: true, status: response.status })
    }
  }
}

export async function problemOf(response: Response): Promise<Problem> {
  let details: ProblemDetails = {}
  try {
    details = (await response.json()) as ProblemDetails
  } catch {
    // A proxy's error page is no problem document; the status says enough.
  }
  const seconds = Number(response.headers.get('Retry-After'))
  return new Problem(details.code ?? `http_${response.status}`, {
    temporary: details.temporary ?? response.status >= 500,
    retryMs: seconds > 0 ? seconds * 1000 : undefined,
    status: response.status,
  })
}
