/**
 * Every refusal and failure the page can meet, and what it says to the person about it.
 *
 * A code or a server's detail is never shown raw: unknown codes get a sentence by their nature.
 */

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

/** Why an answer failed. */
const ANSWER_TEXTS: Record<string, string> = {
  provider_timeout: 'The model took too long to answer.',
  provider_unreachable: 'The model could not be reached. Is its server running?',
  provider_auth: 'The model’s provider refused the key. Please check it in the server’s settings.',
  provider_denied: 'The model’s provider refused the key. Please check it in the server’s settings.',
  provider_rate_limited: 'The model’s provider is busy. Please try again in a moment.',
  provider_quota: 'The account at the model’s provider has nothing left to spend.',
  provider_refused: 'The model’s provider refused this request.',
  provider_bad_request: 'The model’s provider refused this request.',
  provider_model_missing: 'The chosen model does not exist at its provider.',
  provider_cut: 'The connection to the model broke off before the answer was complete.',
  provider_error: 'The model’s provider reported an error.',
  provider_empty: 'The model sent back an empty answer.',
  provider_filtered: 'The model’s provider withheld the answer.',
  context_too_long: 'This conversation has become too long for the model.',
  agent_error: 'The assistant met an unexpected problem.',
  server_restart: 'The server restarted before the answer was complete.',
}

/** Why something that the person asked for was not done. */
const REQUEST_TEXTS: Record<string, string> = {
  offline: 'You are offline. It will be sent as soon as you are back.',
  timeout: 'The server did not answer in time.',
  rate_limited: 'That was a little fast. Please wait a moment.',
  too_many_requests: 'That was a little fast. Please wait a moment.',
  text_too_long: 'This message is too long.',
  message_too_long: 'This message is too long.',
  too_large: 'This message is too long.',
  text_empty: 'An empty message cannot be sent.',
  text_invalid: 'This message holds characters that cannot be stored.',
  bad_text: 'This message holds characters that cannot be stored.',
  cid_reused: 'This message was already sent with another text.',
  room_not_found: 'This chat does not exist, or you may not see it.',
  room_deleted: 'This chat was deleted.',
  message_not_found: 'This message does not exist any more.',
  turn_not_found: 'This answer has already ended.',
  not_allowed: 'You may not do that here.',
  forbidden: 'You may not do that here.',
  read_only: 'You may read here, but not write.',
  unauthorized: 'You are not signed in. Please reload the page.',
  title_too_long: 'This title is too long: 200 characters are the most.',
  name_taken: 'Somebody else has this name.',
  db_down: 'The server cannot reach its database right now.',
  database_unavailable: 'The server cannot reach its database right now.',
  overloaded: 'The server is very busy. Please try again in a moment.',
  inflight: 'Too many things at once. Please wait a moment.',
}

export function answerText(code: string | undefined): string {
  return (code && ANSWER_TEXTS[code]) || 'The answer could not be completed.'
}

export function problemText(error: unknown): string {
  if (!(error instanceof Problem)) return 'Something went wrong. Please try again.'
  const known = REQUEST_TEXTS[error.code] ?? ANSWER_TEXTS[error.code]
  if (known) return known
  if (error.temporary) return 'The server cannot do that right now. Please try again in a moment.'
  if (error.status === 404) return 'This does not exist any more.'
  if (error.status === 403) return 'You may not do that here.'
  return 'The server did not accept that.'
}
