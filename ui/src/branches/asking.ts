/** What was said is answered or said anew beside what is there, in a branch of its own; or in a new chat. */
import type { Message, Model } from '../lib/protocol'
import { newCid } from '../lib/outbox/ids'
import type { RoomLog } from '../lib/room/room'
import { isShown } from '../lib/rows/rows'
import { branches as say, model as words } from '../lib/texts-chat'
import { endingOf } from '../message/ending'
import type { PageState } from '../page.svelte'
import { fork, regenerate } from './calls'

/** Whether it is an answer that came as it should, of an agent that can be asked once more. */
export function mayAskAgain(message: Message): boolean {
  const { role, status, meta } = message
  return role === 'assistant' && status === 'done' && !!meta.turn && !meta.exchange && endingOf(message) === null
}

/** Another answer beside this one, to which the server leads. */
export function beside(page: PageState, { id }: Message, model?: string): void {
  void regenerate(page.session.api, id, model).catch(page.report)
}

/** Asks by which model, and then for another answer. */
export async function besideBy(page: PageState, anchor: HTMLElement | null, message: Message): Promise<void> {
  const { choices, FIND } = await import('../chat/model/choices')
  const models = page.session.models?.models ?? []
  const ask = ({ key }: Model): void => beside(page, message, key)
  if (anchor) void page.openMenu(anchor, words.name, choices(models, ask, models.find(({ id }) => id === message.meta.model)?.key), FIND)
}

/** A new chat that begins with all up to this message. */
export async function newChatFrom(page: PageState, { id }: Message): Promise<void> {
  try {
    const room = await fork(page.session.api, id)
    page.session.rooms.put(room)
    page.go(room.id)
    page.toast(say.forked)
  } catch (error) {
    page.report(error)
  }
}

/** Says something in the place of a message, which stays on its own path. */
export async function anew({ session }: PageState, log: RoomLog, { seq }: Message, text: string): Promise<void> {
  const before = (): Message | undefined => log.messages.findLast((one) => one.seq < seq && isShown(one))
  if (!before() && log.hasOlder) await log.loadOlder()
  await session.connection.request({ t: 'send', room: log.id, cid: newCid(), text, after: before()?.seq ?? 0 })
}
