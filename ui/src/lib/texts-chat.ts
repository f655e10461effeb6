/** What is said of answers and messages that failed: only where there are chats. */
import { OTHERWISE, REQUEST_TEXTS } from './texts'

/** Why an answer ended without being whole. */
export const ANSWER_TEXTS: Record<string, string> = {
  provider_unreachable: 'The model could not be reached. Is its server running?',
  provider_timeout: 'The model took too long to answer.',
  provider_cut: 'The connection to the model broke off before the answer was complete.',
  provider_refused: 'The model’s provider refused this question.',
  provider_auth: 'The model’s provider refused the key. Please check it in the server’s settings.',
  provider_rate_limited: 'The model’s provider is busy. Please try again in a moment.',
  provider_bad_reply: 'The model’s provider sent something that could not be understood.',
  provider_error: 'The model’s provider reported an error.',
  answer_too_long: 'The answer became too long and was ended.',
  budget_reached: 'The budget for answers is used up for now.',
  interrupted: 'The server went away while this was being written.',
  internal: 'The server met an unexpected problem.',
}

const refusals: Record<string, string> = {
  rejected: 'The server could not store this message.',
  room_deleted: 'This chat was deleted.',
  room_left: 'You are no longer in this chat.',
  invalid_unicode: 'This text holds characters that cannot be stored.',
  invalid_character: 'This text holds characters that cannot be stored.',
  empty_message: 'An empty message cannot be sent.',
  text_too_long: 'This message is too long.',
  room_not_found: 'There is no such chat, or you are not in it.',
  room_archived: 'This chat is archived: nothing more is said in it.',
}

Object.assign(REQUEST_TEXTS, ANSWER_TEXTS, refusals)

export function answerText(code: string | undefined): string {
  return (code && ANSWER_TEXTS[code]) || OTHERWISE.answer
}
