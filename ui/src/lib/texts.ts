/**
 * Every word that the page says, by the place where it says it. A component writes none of its own.
 *
 * One word for each thing: chat, message, model, agent, person. Codes and a server's detail are never shown raw.
 */

const APP = 'Palaver'
const UNDER_WAY = 'Try again'
const TO_START = 'Go to the start'

/** What is said while something is awaited. */
export const wait = { loading: 'Loading', slow: 'This takes longer than usual.', again: UNDER_WAY }

/** What a small page says that is no part of the chats; it loads no other words than these and those of failures. */
export const door = {
  again: UNDER_WAY,
  toStart: TO_START,
  title: 'Add this device · Palaver',
  broken: 'This link is not whole. Please open it again.',
  failed: 'This did not work',
  looking: 'Looking at the link',
  isBefore: 'This browser is ',
  isAfter: ' already',
  /** Names stand between these: who is added, and twice who this browser is. */
  replace: [
    'If it becomes ', ', it loses the chats of ', '. They stay on the server, but only a device that is ',
    ' gets to them. If this is the only one, add another first.',
  ],
  replaceBy: 'Replace by',
  stay: 'Stay',
  adds: ' adds this device',
  chatsBefore: 'The chats of ',
  chatsAfter: ' will be here, and what is written here will be theirs.',
  openThere: 'Open the link on the device that you want to add. It has not been used up.',
  toChats: 'Go to your chats',
  add: 'Add this device',
  notNow: 'Not now',
}

/** What the page says that an invitation opens. */
export const invited = {
  title: 'Join a chat · Palaver',
  invites: ' invites you to ',
  aChat: 'a chat',
  seen: 'You will see all that was said there.',
  reads: 'You may read there, but not write.',
  name: 'Your name',
  as: 'Here you are ',
  join: 'Join',
}

/** What the page says on which one signs in. */
export const signing = {
  page: (way: 'in' | 'up' | 'reset') => `${signing.titles[way]} · Palaver`,
  titles: { in: 'Sign in', up: 'Make an account', reset: 'Choose a password' },
  verbs: { in: 'Sign in', up: 'Make the account', reset: 'Save' },
  means: {
    up: 'With it you are the same person on every device. The chats of this browser come along.',
    reset: 'All your other devices have to sign in again.',
  },
  handle: 'Handle',
  handleMeans: '2 to 32 small letters and digits, also . _ and -',
  password: 'Password',
  passwordMeans: '10 characters at least',
  guest:
    'This browser is a guest’s who has written something. If you sign in, it loses their chats. ' +
    'To keep them, make an account for the guest.',
  anyway: 'Sign in all the same',
  closed: 'Who runs this server makes the accounts here. Ask them for one.',
}

/** What a browser is called. */
export const device = { browser: 'Browser', system: 'another system', on: (browser: string, system: string) => `${browser} on ${system}` }

export const texts = {
  app: APP,
  newChat: 'New chat',
  nothingHere: 'Nothing is at this address.',
  toStart: TO_START,
  skip: 'Skip to the chat',
  again: UNDER_WAY,
  cancel: 'Cancel',
  close: 'Close',
  copy: 'Copy',
  copied: 'The text was copied.',
  notCopied: 'The browser did not allow copying.',
  dismiss: 'Dismiss',
  undo: 'Undo',
  notFound: 'This message could not be loaded.',
  doorMark: 'API',
  doorMeans: 'These messages came through the OpenAI-compatible API',
  everyone: 'Everyone on this server',

  banner: {
    unknown: 'The server does not know you any more.',
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
  },

  list: {
    name: 'Chats',
    open: 'Open the list of chats',
    openUnread: 'Open the list of chats, there is something new',
    close: 'Close the list of chats',
    search: 'Search',
    goTo: 'Go to a chat, or do something',
    none: 'Your chats will stand here.',
    shared: 'Shared',
    programs: 'From programs',
    all: 'Show all of them',
    fewer: 'Show the newest',
    draft: 'Draft',
    unread: (count: number) => `${count} unread`,
    runs: (count: number) => (count === 1 ? '1 run' : `${count} runs`),
    chats: (count: number) => (count === 1 ? '1 chat' : `${count} chats`),
    guest: 'Guest on this server',
    member: 'Signed in',
    more: (title: string) => `More about ${title}`,
  },

  person: {
    menu: 'You',
    settings: 'Settings',
    deleted: 'Recently deleted',
    programs: 'Use from a program',
    keys: 'Keyboard shortcuts',
    signIn: 'Sign in',
    signOut: 'Sign out',
  },

  room: {
    more: 'More about this chat',
    this: 'This chat',
    rename: 'Rename',
    renameThis: 'Rename this chat',
    copyLink: 'Copy link',
    archive: 'Archive',
    unarchive: 'Take out of the archive',
    archived: (title: string) => `“${title}” was archived.`,
    delete: 'Delete',
    deleteThis: 'Delete this chat',
    title: 'Title of the chat',
    deleted: (title: string) => `“${title}” was deleted.`,
    parent: 'Where it came from',
  },

  people: {
    name: 'People',
    invite: 'Invite',
    inviteMore: 'Invite people',
    count: (count: number, more: boolean) => `${count}${more ? '+' : ''} people`,
    joined: 'joined',
  },

  start: {
    question: 'What shall we talk about?',
    ideas: [
      'Explain a hard thing simply',
      'Help me write a kind refusal',
      'Plan a slow weekend by the sea',
      'Find the bug in my code',
    ],
    guest: 'You are a guest: your chats belong to this browser.',
    addPhone: 'Add your phone',
    answersFrom: 'Answers come from',
    doorRoom: 'This chat came through the OpenAI-compatible API.',
    doorOpen: ' Everyone on this server sees it.',
    program: 'It is by',
    folder: 'working in',
    keptDespite: 'It was asked not to be kept, and is kept because its key says so.',
    openRoom: 'Everyone on this server meets here and sees what is said.',
    empty: 'Nothing has been said yet.',
    alone: 'Only you are here.',
    invite: 'Invite somebody',
    begins: 'This is where the chat begins.',
    answersHere: 'answers here.',
  },

  composer: {
    name: 'Message',
    placeholder: 'Write a message',
    toEveryone: 'Say something to everyone',
    readOnly: 'You may read here, but not write.',
    archived: 'This chat is archived: it can be read, and nothing more is said in it.',
    send: 'Send',
    sendKey: 'Send (Enter)',
    stop: 'Stop the answer',
    stopShort: 'Stop',
    tooLong: (has: string, may: string) =>
      `This message is too long: it has ${has} characters, and ${may} are the most. Please send it in parts.`,
  },

  typing: {
    many: (count: number) => `${count} people are typing`,
    and: ' and ',
    one: 'is typing',
    some: 'are typing',
    answering: 'is answering',
  },

  messages: {
    name: 'Messages',
    loading: 'Loading messages',
    more: 'Load more messages',
    newest: 'Newest',
    unseen: (count: number) => (count === 1 ? '1 new message' : `${count} new messages`),
    new: 'New',
    deleted: 'This message was deleted.',
    thinking: 'is thinking',
    thoughts: 'Thoughts',
    thinkingNow: 'Thinking…',
    another: (number: number) => `Another answer (${number})`,
    picture: 'Sent with this message',
  },

  actions: {
    copy: 'Copy text',
    more: 'More about this message',
    copyLink: 'Copy link',
    linkCopied: 'The link was copied.',
    inspect: 'Inspect the request and its response',
    stopOne: 'Stop this answer',
    continue: 'Continue',
    details: 'Details',
    edit: 'Edit',
    resend: 'Send again',
    discard: 'Discard',
  },

  states: {
    stopped: 'Stopped.',
    length: 'The answer reached its greatest length.',
    content_filter: 'The provider’s filter cut this answer.',
    wordless: 'The model answered without a word.',
    notSent: 'Not sent.',
    kept: 'Kept, not stored yet',
    sending: 'Sending…',
  },

  aside: {
    arguments: 'Arguments',
    command: 'Command',
    result: 'Result',
    task: 'Task',
    tool: 'Tool',
    item: 'Item',
    system: 'System prompt',
    developer: 'Developer prompt',
    context: 'Context',
    noResult: 'no result',
    empty: 'Empty',
    inspect: 'Inspect the request',
    resultCopied: 'The result was copied.',
  },

  parts: { image: 'Image', audio: 'Audio', file: 'File', content: 'Content' },

  times: {
    now: 'now',
    justNow: 'just now',
    minutes: (count: number) => `${count}m`,
    today: 'Today',
    yesterday: 'Yesterday',
    week: 'Previous 7 days',
    month: 'Previous 30 days',
    older: 'Older',
  },

  code: {
    copy: 'Copy', name: 'Copy code', copied: 'Copied', copiedName: 'Code copied', notCopied: 'Not copied',
    notCopiedName: 'Code could not be copied',
  },

}

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
  interrupted: 'The server went away while this was being written.',
  internal: 'The server met an unexpected problem.',
}

/** Why something that the person asked for was not done. */
export const REQUEST_TEXTS: Record<string, string> = {
  // said by the page itself
  offline: 'The server is out of reach right now.',
  timeout: 'The server did not answer in time.',
  bad_answer: 'The server sent something that could not be understood.',
  rejected: 'The server could not store this message.',
  room_deleted: 'This chat was deleted.',
  room_left: 'You are no longer in this chat.',
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
  credentials_wrong: 'Handle or password is wrong.',
  account_disabled: 'This account is disabled. Please ask who runs this server.',
  handle_invalid: 'A handle has 2 to 32 of a-z, 0-9, dot, underscore and hyphen.',
  handle_taken: 'Somebody has this handle, or one that looks like it.',
  password_weak: 'A password has 10 to 256 characters.',
  session_ended: 'You were signed out here. Please reload the page.',
  unauthenticated: 'The server does not know you any more. Please reload the page.',
  forbidden: 'You may not do that here.',
  origin_refused: 'The server does not accept pages from this address.',
  host_refused: 'The server does not know itself by this address.',
  not_found: 'This does not exist any more.',
  room_not_found: 'There is no such chat, or you are not in it.',
  invite_not_found: 'This link was used or has ended. Ask for a new one.',
  room_archived: 'This chat is archived: nothing more is said in it.',
  last_owner: 'You are its only owner. Make somebody else an owner first.',
  message_not_found: 'This message does not exist any more.',
  exchange_not_found: 'There is nothing to look at: this answer did not come through the API.',
  turn_not_found: 'This answer has already ended.',
  method_not_allowed: 'The server did not accept that.',
  turn_not_retryable: 'This answer cannot be asked for again.',
  room_protected: 'This chat belongs to everyone and stays as it is.',
  history_reset: 'The history has changed. Please reload the page.',
  payload_too_large: 'This is too long to be sent.',
  headers_too_large: 'The server did not accept that.',
  upgrade_required: 'The server did not accept that.',
  unsupported_media_type: 'The server did not accept that.',
  unknown_frame: 'This page is newer than the server. Please reload it.',
  too_many_keys: 'You have very many keys. Please revoke one first.',
  too_many_prompts: 'You have very many prompts. Please delete one first.',
  too_many_invitations: 'Very many links are open already. Please revoke one first.',
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

/** What is said of a failure whose code has no words of its own. */
export const OTHERWISE = {
  answer: 'The answer could not be completed.',
  broken: 'Something went wrong. Please try again.',
  temporary: 'The server cannot do that right now. Please try again in a moment.',
  gone: 'This does not exist any more.',
  forbidden: 'You may not do that here.',
  refused: 'The server did not accept that.',
}
