/** The words of the small pages that are of no use once one is in. */

/** What an invitation opens. */
export const invited = {
  title: 'Invitation · Palaver',
  server: 'Palaver',
  invites: ' invites you to ',
  aChat: 'a chat',
  seen: 'You will see all that was said there.',
  into: (chats: number) => (chats === 1 ? 'You come into this chat, and see all that was said there:' : 'You come into these chats, and see all that was said there:'),
  reads: 'You may read there, but not write.',
  account: 'Choose a handle and a password. With them you are the same person on every device.',
  admin: 'You will look after this server with its owner.',
  name: 'Your name',
  as: 'Here you are ',
  join: 'Join',
  have: 'I have an account',
  toChats: 'Go to your chats',
}

/** Where the link is that one has to have. */
export const printed = 'The link that makes the owner is printed where this server was started.'

/** Why nobody makes an account here by themselves, by the setting that says so. */
export const closed: Readonly<Record<string, string | undefined>> = {
  off: 'Who runs this server makes the accounts here. Ask them for one.',
  invite: 'An invitation is needed to make an account here. Ask somebody who is here for a link.',
}
