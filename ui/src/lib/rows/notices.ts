/** What is told among the messages, in words. */
import type { RoomEvent } from '../protocol'
import type { Notice } from './rows'
import { later } from '../texts-later'
import { modelName } from '../words/models'
import { isolated } from '../words/isolated'

/** `nameOf`: what somebody is called; undefined where nobody has told. */
export function noticeOf(event: RoomEvent, me: string, nameOf: (actor: string) => string | undefined): Notice | null {
  const say = later.notices
  const { seq, at, by, d } = event
  const who = (actor: unknown, first: boolean): string =>
    actor === me ? (first ? say.you : say.youToo) : (typeof actor === 'string' && isolated(nameOf(actor) ?? '')) || (first ? say.some : say.someToo)
  const [subject, object] = [who(by, true), who(d.actor, false)]
  const self = d.actor === by
  const role = d.role as keyof typeof say.roles
  const whose = d.of === me ? say.your : d.budget === 'server' ? say.servers : say.of(who(d.of, true))
  const month = d.period === 'month' ? new Date(String(d.until)).toLocaleDateString(undefined, { day: 'numeric', month: 'long', timeZone: 'UTC' }) : ''
  const opened = say.opened[d.open_to as keyof typeof say.opened]?.[d.open_role as 'reader' | 'member']
  const [only, ...others] = (d.changed ?? []) as string[]
  const chosen = (d.settings as { model?: string } | undefined)?.model
  const model = chosen && others.length === 0 ? modelName(chosen) : null
  const shares = d.code === 'no_right' && d.owner === me
  const text = {
    'member.joined': self ? say.joined(who(d.actor, true)) : say.added(subject, object),
    'member.left': d.deleted ? say.gone : say.left(who(d.actor ?? by, true)),
    'member.removed': say.removed(subject, object),
    'member.role': say.roles[role]?.(subject, object),
    'member.speaks': say.speaks[d.after as keyof typeof say.speaks]?.(subject, object),
    'member.settings': only === 'model' && model ? say.chose(subject, model, object) : say.told(subject, object),
    'turn.refused': shares ? say.refused.yours(who(d.agent, true)) : (say.refused[d.code as keyof typeof say.refused] ?? say.refused.other)(who(d.agent, true), subject, whose, month, d.left === true),
    'room.transferred': say.gave(subject, object),
    'room.visibility': opened ? say.openedBy(subject, opened) : say.closed(subject),
    'room.cleared': d.of ? undefined : say.cleared(subject),
    'room.uncleared': say.uncleared(subject),
    'room.archived': say.archived(subject),
    'room.unarchived': say.unarchived(subject),
  }[event.k]
  return text === undefined ? null : { seq, at, text, own: by === me, ...(shares && { shares }) }
}
