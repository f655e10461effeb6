/**
 * Every word that the page says, by the place where it says it. A component writes none of its own.
 *
 * One word for each thing: chat, message, model, agent, person. Codes and a server's detail are never shown raw.
 */

const APP = 'Palaver'
const UNDER_WAY = 'Try again'
const MAKE = 'Make the account'
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

/** What an account is made of. */
export const account = {
  make: MAKE,
  name: 'Name',
  handle: 'Handle',
  handleMeans: '2 to 32 small letters and digits, also . _ and -',
  password: 'Password',
  passwordMeans: '10 characters at least',
}

/** What the page says on which one signs in. */
export const signing = {
  page: (way: 'in' | 'up' | 'reset' | 'setup') => `${signing.titles[way]} · Palaver`,
  titles: { in: 'Sign in', up: 'Make an account', reset: 'Choose a password', setup: 'Set up Palaver' },
  verbs: { in: 'Sign in', up: MAKE, reset: 'Save', setup: 'Become the owner' },
  means: {
    up: 'With it you are the same person on every device. The chats of this browser come along.',
    reset: 'From now on you sign in with it, also where you are signed in already.',
    setup: 'This server has no owner yet. Whoever owns it looks after its people.',
  },
  guestLoses: 'This browser is a guest’s who has written something. If you sign in there, it loses their chats.',
  guest:
    'This browser is a guest’s who has written something. Their chats can come along to your account; what was ' +
    'said in them stays the guest’s. Otherwise this browser loses them.',
  bring: 'Bring the chats along',
  anyway: 'Leave them behind',
  elsewhere: (provider: string) => `Sign in with ${provider}`,
  waits: 'Nearly there',
  /** The handle stands between these. */
  waitsMean: ['Your account ', ' is made. Who runs this server lets you in. Then sign in here.'],
  waitsAsGuest: 'Until then you go on as a guest in this browser.',
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
  notCopied: 'The browser did not allow copying.',
  dismiss: 'Dismiss',
  undo: 'Undo',
  notFound: 'This message could not be loaded.',
  doorMark: 'API',
  doorMeans: 'These messages came through the OpenAI-compatible API',
  everyone: 'Everyone on this server',

  list: {
    name: 'Chats',
    open: 'Open the list of chats',
    openUnread: 'Open the list of chats, there is something new',
    close: 'Close the list of chats',
    search: 'Search',
    goTo: 'Find chats and messages, or do something',
    none: 'Your chats will stand here.',
    pinned: 'Pinned',
    shared: 'Shared',
    programs: 'From programs',
    all: 'Show all of them',
    fewer: 'Show the newest',
    draft: 'Draft',
    unread: (count: number) => `${count} unread`,
    muted: 'muted',
    runs: (count: number) => (count === 1 ? '1 run' : `${count} runs`),
    chats: (count: number) => (count === 1 ? '1 chat' : `${count} chats`),
    guest: 'Guest on this server',
    member: 'Signed in',
    more: (title: string) => `More about ${title}`,
  },

  person: {
    menu: 'You',
    waits: 'Somebody waits to be let in',
  },

  room: {
    more: 'More about this chat',
    renameThis: 'Rename this chat',
    deleted: (title: string) => `“${title}” was deleted.`,
    parent: 'Where it came from',
  },

  people: {
    invite: 'Invite',
    join: 'Join',
    count: (count: number, more: boolean, here = 0) => `${count}${more ? '+' : ''} people${here ? `, ${here} here` : ''}`,
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
    keep: 'Keep them',
    ownerless: 'This server has no owner yet: it printed a link that makes one.',
    connect: 'Connect a model',
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

  messages: {
    name: 'Messages',
    loading: 'Loading messages',
    more: 'Load more messages',
    newest: 'Newest',
    unseen: (count: number) => (count === 1 ? '1 new message' : `${count} new messages`),
    new: 'New',
    asGuest: (name: string) => `${name}, as guest`,
    gone: 'Somebody who left',
    changes: (count: number) => `${count} earlier changes`,
    deleted: 'This message was deleted.',
    share: 'Share it',
    thinking: 'is thinking',
    untaken: '’s program has not taken this up yet',
    thoughts: 'Thoughts',
    context: 'Context',
    thinkingNow: 'Thinking…',
    another: (number: number) => `Another answer (${number})`,
  },

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
}

/** Why something that the person asked for was not done. */
export const REQUEST_TEXTS: Record<string, string> = {
  // said by the page itself
  offline: 'The server is out of reach right now.',
  timeout: 'The server did not answer in time.',
  bad_answer: 'The server sent something that could not be understood.',
  room_deleted: 'This chat was deleted.',
  room_left: 'You are no longer in this chat.',
  room_not_found: 'There is no such chat, or you are not in it.',
  // said by the server
  session_ended: 'You were signed out here. Please reload the page.',
  unauthenticated: 'You were signed out here. Please reload the page.',
  forbidden: 'You may not do that here.',
  database_unavailable: 'The server cannot reach its database right now.',
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
