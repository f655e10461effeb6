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

/** Why an answer ended without being whole. */
const ANSWER_TEXTS: Record<string, string> = {
  provider_unreachable: 'The model could not be reached. Is its server running?',
  provider_timeout: 'The model took too long to answer.',
  provider_cut: 'The connection to the model broke off before the answer was complete.',
  provider_refused: 'The model’s provider refused this question.',
  provider_auth: 'The model’s provider refused the key. Please check it in the server’s settings.',
  provider_rate_limited: 'The model’s provider is busy. Please try again in a moment.',
  provider_bad_reply: 'The model’s provider sent something that could not be understood.',
  provider_error: 'The model’s provider reported an error.',
  answer_too_long: 'The answer became too long and was ended.',
  interrupted: 'The server went away while this was being written.',
  internal: 'The server met an unexpected problem.',
}

/** Why something that the person asked for was not done. */
const REQUEST_TEXTS: Record<string, string> = {
  // said by the page itself
  offline: 'The server is out of reach right now.',
  timeout: 'The server did not answer in time.',
  bad_answer: 'The server sent something that could not be understood.',
  rejected: 'The server could not store this message.',
  room_deleted: 'This chat was deleted.',
  // said by the server
  bad_request: 'The server did not accept that.',
  invalid_json: 'The server did not understand that.',
  invalid_unicode: 'This text holds characters that cannot be stored.',
  invalid_character: 'This text holds characters that cannot be stored.',
  empty_message: 'An empty message cannot be sent.',
  text_too_long: 'This message is too long.',
  title_too_long: 'This title is too long: 255 characters are the most.',
  name_invalid: 'This name cannot be used. Please choose another.',
  name_reserved: 'This name is reserved. Please choose another.',
  cid_invalid: 'The server did not accept this message.',
  cid_reused: 'This message was already sent with another text.',
  limit_invalid: 'The server did not accept that.',
  cursor_invalid: 'The list has changed. Please try again.',
  unauthenticated: 'The server does not know you any more. Please reload the page.',
  forbidden: 'You may not do that here.',
  origin_refused: 'The server does not accept pages from this address.',
  host_refused: 'The server does not know itself by this address.',
  not_found: 'This does not exist any more.',
  room_not_found: 'There is no such chat, or you are not in it.',
  message_not_found: 'This message does not exist any more.',
  exchange_not_found: 'There is nothing to look at: this answer did not come through the API.',
  turn_not_found: 'This answer has already ended.',
  method_not_allowed: 'The server did not accept that.',
  turn_not_retryable: 'This answer cannot be asked for again.',
  room_protected: 'This chat belongs to everyone and stays as it is.',
  history_reset: 'The history has changed. Please reload the page.',
  payload_too_large: 'This is too long to be sent.',
  headers_too_large: 'The server did not accept that.',
  unsupported_media_type: 'The server did not accept that.',
  unknown_frame: 'This page is newer than the server. Please reload it.',
  too_many_keys: 'You have very many keys. Please revoke one first.',
  too_many_devices: 'There are very many devices already. Please end one first.',
  ticket_ended: 'This link was used or has ended. Ask for a new one.',
  identity_in_use: 'This browser is somebody already.',
  too_many_rooms: 'Too many chats are open at once.',
  rate_limited: 'That was a little fast. Please wait a moment.',
  request_timeout: 'The server did not answer in time.',
  too_busy: 'The server is very busy. Please try again in a moment.',
  database_unavailable: 'The server cannot reach its database right now.',
  draft_too_old: 'The server’s database was away for too long to store this message.',
  database_full: 'The server has no room left to store anything.',
  shutting_down: 'The server is restarting. Please try again in a moment.',
}

/** How many characters a text has, as the server counts them: Unicode code points. */
export function charactersIn(text: string): number {
  return text.length - (text.match(/[\ud800-\udbff][\udc00-\udfff]/g)?.length ?? 0)
}

/** What is too long, and by how much. */
export function tooLongText(text: string, limit: number): string {
  const [has, may] = [charactersIn(text).toLocaleString(), limit.toLocaleString()]
  return `This message is too long: it has ${has} characters, and ${may} are the most. Please send it in parts.`
}

/** Whether the server does not accept the address of this page. */
export function isRefusal(error: unknown): boolean {
  return error instanceof Problem && (error.code === 'origin_refused' || error.code === 'host_refused')
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
