/** What happened at one moment of a chat, in words. */
import type { Then } from '../protocol'
import { marks } from '../texts-chat'
import { later } from '../texts-later'
import { isolated } from '../words/isolated'
import { noticeOf } from './notices'

/** `nameOf`: what somebody else is called of whom it tells. */
export function happening({ seq, at, k, by, d }: Then, me: string, nameOf: (actor: string) => string | undefined): string {
  const say = later.then.events
  const who = by === null ? later.notices.some : by.id === me ? later.notices.you : isolated(by.name)
  const title = typeof d.title === 'string' ? isolated(d.title) : ''
  switch (k) {
    case 'message.created': return say.said(who)
    case 'message.edited': return say.edited(who)
    case 'message.deleted': return say.deleted(who)
    case 'message.restored': return say.restored(who)
    case 'message.pinned': return marks.happened(who)
    case 'message.unpinned': return marks.ended(who)
    case 'reaction.added': return say.reacted(who, String(d.emoji))
    case 'reaction.removed': return say.unreacted(who, String(d.emoji))
    case 'branch.created':
    case 'branch.named':
    case 'branch.main':
    case 'branch.deleted':
    case 'branch.restored': return say.branches[k](who)
    case 'room.created': return say.began(who)
    case 'room.renamed': return by === null ? say.wasNamed(title) : say.named(who, title)
    case 'room.moved': return say.moved(who)
    case 'room.deleted': return say.roomDeleted(who)
    case 'room.restored': return say.roomRestored(who)
    case 'member.renamed': return say.renamed(who)
    default: {
      const of = (actor: string): string | undefined => (actor === by?.id ? by.name : actor === d.actor && typeof d.name === 'string' ? d.name : nameOf(actor))
      return noticeOf({ room: '', seq, k, at, by: by?.id ?? null, d }, me, of)?.text ?? say.other(who)
    }
  }
}
