/** What is said of answers and messages that failed, and of models: only where there are chats, and behind what is said. */
import { OTHERWISE, REQUEST_TEXTS } from './texts'

/** What is said of the model of a chat, and of what else the chat has of its own. */
export const model = {
  name: 'Model of this chat',
  none: 'No model',
  some: 'Model',
  chosen: (name: string) => `Model: ${name}`,
  both: (names: string) => `The next message goes to ${names}`,
  and: ' and ',
  instructed: (model: string) => `${model}, with instructions`,
  find: 'Find a model',
  nothing: 'No model is called so.',
  of: (provider: string) => `Models of ${provider}`,
  two: 'Ask two models',
  one: 'Ask one model',
  beside: (name: string) => `Answer beside ${name}`,
  back: 'Back',
  connect: 'Connect a model',
  settings: 'Instructions and temperature…',
  heading: 'What it is told here',
  headingOf: 'For',
  means: 'Only in this chat, from the next message on. Whoever reads it sees this.',
  instructions: 'Instructions',
  instructionsMean: 'Empty: what the agent is told everywhere.',
  model: 'Model',
  asAgent: 'As the agent has it',
  temperature: 'Temperature',
  temperatureMeans: '0 is steady, 2 is wild. Empty: as the agent has it.',
  temperatureWrong: 'A number from 0 to 2.',
  save: 'Save',
  saved: 'Saved for this chat.',
  asAnAgent: 'Save as an agent',
  agentName: 'What the agent is called',
  made: (name: string) => `${name} is an agent of yours now.`,
  tokens: (count: number) => (count === 1 ? '1 token' : `${count.toLocaleString()} tokens`),
  cancel: 'Cancel',
}

/** Who is typing or answering. */
export const typing = {
  many: (count: number) => `${count} people are typing`,
  and: ' and ',
  one: 'is',
  some: 'are',
  typing: 'typing',
  answering: 'answering',
}

/** What is said over the top of what is read, while the server is out of reach. */
export const banner = {
  unknown: 'You were signed out here.',
  apart: 'This page and the server do not understand each other any more.',
  refused: 'The server does not accept this address. Its log names the setting.',
  offline: 'You are offline. What you write is kept and will be sent.',
  database: 'The server’s database is away. Messages are kept and will be stored when it is back.',
  outdated: 'A part of this page could not be loaded. The server may have a newer one.',
  connecting: 'Connecting to the server…',
  reload: 'Reload',
  now: 'Try now',
  kept: (count: number) =>
    count === 0 ? '' : count === 1 ? ' Your message is kept and will be sent.' : ` ${count} messages are kept and will be sent.`,
}

/** What is said of reactions to a message. */
export const reactions = {
  react: 'React',
  find: 'Find an emoji',
  nothing: 'No emoji is called so.',
  recent: 'Lately used',
  common: 'Common',
  others: 'Others',
  you: 'You',
  who: (names: readonly string[], others: number) => {
    const all = others > 0 ? [...names, others === 1 ? '1 other' : `${others} others`] : names
    return all.length < 2 ? (all[0] ?? '') : `${all.slice(0, -1).join(', ')} and ${all.at(-1)}`
  },
}

export const picture = 'Sent with this message'

export const code = {
  copy: 'Copy',
  name: 'Copy code',
  copied: 'Copied',
  copiedName: 'Code copied',
  notCopied: 'Not copied',
  notCopiedName: 'Code could not be copied',
}

/** What is said of messages that are edited, and of what they said before. */
export const edit = {
  name: 'Edit',
  edited: 'edited',
  cancel: 'Cancel',
  save: 'Save',
  again: 'Ask again',
  conflict: (who: string) => `${who} changed this while you wrote.`,
  elsewhere: 'You changed this elsewhere while you wrote.',
  see: 'See it',
  mine: 'Save mine',
  history: 'History',
  older: 'Older versions are kept, too.',
  keys: { last: 'Edit your last message (field empty)', again: 'Ask again, beside what there was', edit: 'Edit it' },
}

/** What is said of the ways that a chat goes on behind one message. */
export const branches = {
  version: (at: number, count: number) => `Version ${at} of ${count}`,
  previous: 'Previous version',
  next: 'Next version',
  step: 'Version before, after',
  again: 'Try again',
  againWith: 'Try again with…',
  newChat: 'New chat from here',
  name: 'Branches',
  means: 'What was asked again or written anew goes on beside what was there. Nothing is lost by it.',
  first: 'As it began',
  you: 'You',
  older: 'Show older ones',
  forked: 'This is a new chat. What was said up to there came along.',
  main: 'Seen first',
  more: (name: string) => `More about ${name}`,
  rename: 'Rename',
  nameOne: 'What it is called',
  makeMain: 'Let everyone see it first',
  delete: 'Delete',
  deleted: (name: string) => `“${name}” was deleted.`,
  some: 'A branch',
}

/** What is said of what is pinned, and of what one has starred. */
export const marks = {
  pin: 'Pin',
  unpin: 'Unpin',
  unpinOne: (who: string) => `Unpin what ${who} said`,
  pinned: 'pinned',
  pins: 'Pinned messages',
  noPins: 'Nothing is pinned here yet. Pin a message from its menu: everyone in this chat sees it.',
  star: 'Star',
  unstar: 'Take the star off',
  unstarOne: (who: string) => `Take the star off what ${who} said`,
  starred: 'starred',
  stars: 'Starred',
  noStars: 'What you star in a chat stands here. Nobody else sees that.',
  happened: (who: string) => `${who} pinned a message`,
  ended: (who: string) => `${who} took a pinned message off`,
  more: 'Show more',
  something: 'Something without words',
}

/** Why an answer ended without being whole. */
export const ANSWER_TEXTS: Record<string, string> = {
  provider_unreachable: 'The model could not be reached. Is its server running?',
  provider_timeout: 'The model took too long to answer.',
  provider_cut: 'The model broke off before the answer was complete.',
  profile_not_found: 'The model of this chat is another person’s, or its connection was removed. Choose another one.',
  profile_withheld: 'A connection of your own answers only for agents that you may edit. Choose another model.',
  provider_refused: 'The model’s provider refused this question.',
  provider_auth: 'The model’s provider refused the key. Please check it.',
  provider_rate_limited: 'The model’s provider is busy. Please try again in a moment.',
  provider_bad_reply: 'The model’s provider sent something that could not be understood.',
  provider_error: 'The model’s provider reported an error.',
  answer_too_long: 'The answer became too long and was ended.',
  budget_reached: 'Too little of the budget for answers is left for now.',
  bot_away: 'Its program is away.',
  bot_failed: 'Its program gave up.',
  interrupted: 'The server went away while this was being written.',
  internal: 'The server met an unexpected problem.',
}

/** Why an answer is good and yet not whole, by its `finish`. */
export const CUT_TEXTS: Record<string, string> = {
  length: 'The answer reached its greatest length.',
  content_filter: 'The provider’s filter cut this answer.',
  budget: 'The budget for answers ended it here.',
  other_speaker: 'It was stopped here: it began to speak for somebody else.',
}

const refusals: Record<string, string> = {
  rejected: 'The server could not store this message.',
  invalid_unicode: 'This text holds characters that cannot be stored.',
  invalid_character: 'This text holds characters that cannot be stored.',
  empty_message: 'An empty message cannot be sent.',
  text_too_long: 'This message is too long.',
  room_archived: 'This chat is archived: nothing more is said in it.',
  branch_not_found: 'This branch does not exist any more.',
  branch_needed: 'What everyone sees first goes through this branch, or what it grew out of is deleted.',
  emoji_invalid: 'A reaction is one emoji.',
  too_many_marks: 'There are as many as there may be. Take one off first.',
  too_many_reactions: 'This message has all the reactions that it may have.',
}

Object.assign(REQUEST_TEXTS, ANSWER_TEXTS, refusals)

export function answerText(code: string | undefined): string {
  return (code && ANSWER_TEXTS[code]) || OTHERWISE.answer
}

/** How a message came out, and what can be done about it. */
export const states = {
  stopped: 'Stopped.',
  wordless: 'The model answered without a word.',
  notSent: 'Not sent.',
  kept: 'Kept, not stored yet',
  sending: 'Sending…',
}

export const actions = {
  continue: 'Continue',
  details: 'Details',
  edit: 'Edit',
  resend: 'Send again',
  discard: 'Discard',
}
