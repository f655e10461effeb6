/**
 * What is said of refusals that only what is loaded later can meet: settings, panels, and the small pages before the
 * chats. Whoever asks for such things has these words learned first.
 */
import { REQUEST_TEXTS } from './texts'

export const refusals: Record<string, string> = {
  invalid_json: 'The server did not understand that.',
  origin_refused: 'The server does not accept pages from this address.',
  host_refused: 'The server does not know itself by this address.',
  too_many_connections: 'Very many pages and programs of your address are connected. Please close some.',
  rate_limited: 'That was a little fast. Please wait a moment.',
  too_busy: 'The server is very busy. Please try again in a moment.',
  shutting_down: 'The server is restarting. Please try again in a moment.',
  setup_required: 'Nobody has set up this server yet. Its log has the link for that.',
  request_timeout: 'The server did not answer in time.',
  database_full: 'The server has no room left to store anything.',
  not_found: 'This does not exist any more.',
  name_invalid: 'This name cannot be used. Please choose another.',
  name_reserved: 'This name is reserved. Please choose another.',
  credentials_wrong: 'Handle or password is wrong.',
  sign_in_failed: 'Signing in there did not work. Please try again.',
  sign_in_unavailable: 'Signing in there does not work right now. Please try again in a moment.',
  header_refused: 'The server does not accept what the proxy before it says.',
  account_disabled: 'This account is disabled. Please ask who runs this server.',
  handle_invalid: 'A handle has 2 to 32 of a-z, 0-9, dot, underscore and hyphen.',
  handle_taken: 'Somebody has this handle, or one that looks like it.',
  password_weak: 'A password has 10 to 256 characters.',
  invite_not_found: 'This link was used or has ended. Ask for a new one.',
  account_pending: 'This account waits to be let in. Please ask who runs this server.',
  ticket_ended: 'This link was used or has ended. Ask for a new one.',
  identity_in_use: 'This browser is somebody already.',
}

Object.assign(REQUEST_TEXTS, refusals)
