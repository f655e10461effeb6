/** The words of links by which others make accounts here. */
import './texts-inside'

export const words = {
  intro: 'A link by which others make an account here. For one chat alone, use Invite in that chat.',
  make: 'Make a link',
  as: 'They come as',
  roles: { person: 'a person', admin: 'an admin' },
  into: 'They come into',
  noChat: 'no chat',
  noChats: 'You have no chat with a name into which you may invite.',
  find: 'Find a chat',
  most: (count: number) => `A link leads into ${count} chats at the most.`,
  once: 'It is shown this once.',
  none: 'No link is open. Whoever you give one makes their own account by it.',
  name: { person: 'For a person', admin: 'For an admin', owner: '' },
  chats: (titles: string, more: number) => `into ${titles}${more > 0 ? ` and ${more} more` : ''}`,
  aChat: 'a chat',
}
