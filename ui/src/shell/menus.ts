/** What can be done with a chat, the same words in the list and in its header; and what one finds at one's own name. Made when it is opened. */
import type { Room } from '../lib/protocol'
import { mayGovern, mayName } from '../lib/room/rights'
import { BASE } from '../lib/server/base'
import { adminPath, AGENTS, ARCHIVE, DELETED, routePath, STARRED } from '../lib/route'
import { accounts } from '../lib/server/admin'
import { signOut as signedOut } from '../lib/server/entering'
import { archive as archiveRoom, wish } from '../lib/server/places'
import { shelf } from '../lib/texts-inside'
import { branches as say, marks } from '../lib/texts-chat'
import { later } from '../lib/texts-later'
import { roomTitle } from '../lib/words/names'
import type { MenuItem, PageState } from '../page.svelte'
import { clear } from '../shelf/deleting'

/** Signs out, and goes where one signs in. */
export async function signOutHere(page: PageState): Promise<void> {
  try {
    await signedOut(page.session.api)
    location.assign(`${BASE}sign-in`)
  } catch (error) {
    page.report(error)
  }
}

export function roomMenu(page: PageState, room: Room, ways: { rename: () => void; remove: () => void }): MenuItem[] {
  const { linkCopied, linkCopiedApart } = later.actions
  const copy = (): void => void page.copy(location.origin + routePath(room.id), room.visibility === 'open' ? linkCopied : linkCopiedApart)
  const items: MenuItem[] = [{ name: later.room.copyLink, icon: 'link', testid: 'room-copy-link', run: copy }]
  if (mayName(room)) items.unshift({ name: later.room.rename, icon: 'pencil', testid: 'room-rename', run: ways.rename })
  const { id } = room
  const toPanel = (): void => page.visit(routePath(id, null, 'chat'))
  const toMove = (): void => {
    page.renaming = { room: id, at: 'panel' }
    toPanel()
  }
  const apart = room.open_to !== null && !room.joined
  if (apart) items.unshift({ name: later.panel.joinThis, icon: 'plus', testid: 'room-join', run: toPanel })
  else items.unshift({ name: room.pinned ? marks.unpin : marks.pin, icon: 'pin', testid: 'room-pin', run: () => void wish(page.session, id, { pinned: !room.pinned }).catch(page.report) })
  const title = roomTitle(room)
  if (page.session.isShared(room) && !apart) {
    const { mute, unmute } = later.room
    items.push({ name: room.muted ? unmute : mute, icon: room.muted ? 'bell' : 'quiet', testid: 'room-mute', run: () => void wish(page.session, id, { muted: !room.muted }).catch(page.report) })
    if (!room.hidden) items.push({ name: later.room.hide, icon: 'hide', testid: 'room-hide', run: () => void hide(page, id, title) })
  }
  if (mayGovern(room)) {
    items.push({ name: later.panel.move, icon: 'result', testid: 'room-move', run: toMove })
    const archived = room.archived_at !== null
    const name = archived ? later.room.unarchive : later.room.archive
    const run = (): void => void archive(page, id, title, !archived)
    items.push({ name, icon: 'box', testid: 'room-archive', run })
    items.push({ name: later.room.delete, icon: 'trash', testid: 'room-delete', danger: true, run: ways.remove })
  }
  return items
}

async function archive(page: PageState, id: string, title: string, archived: boolean): Promise<void> {
  try {
    await archiveRoom(page.session, id, archived)
    if (archived) page.toast(later.room.archived(title), () => void archive(page, id, title, false))
  } catch (error) {
    page.report(error)
  }
}

async function hide(page: PageState, id: string, title: string): Promise<void> {
  try {
    await wish(page.session, id, { hidden: true })
    if (page.route.room === id) page.go(null)
    page.toast(later.room.hidden(title), () => void wish(page.session, id, { hidden: false }).catch(page.report))
  } catch (error) {
    page.report(error)
  }
}

/** `people`: shows who is in it; `invites`: nobody else is, and here is the only way to bring somebody. */
export function headerMenu(
  page: PageState, room: Room, ways: { rename: () => void; remove: () => void; people: (() => void) | null; invites: boolean },
): MenuItem[] {
  const about: MenuItem = { name: later.room.this, icon: 'bubble', testid: 'panel-open', run: () => page.openPanel('chat') }
  const find: MenuItem = { name: later.room.find, icon: 'search', testid: 'find-open', run: () => (page.finding = true) }
  const then: MenuItem = { name: later.then.name, icon: 'clock', testid: 'then-open', run: () => page.openPanel(`asof:${page.session.open(room.id).newestSeq}`) }
  const branches: MenuItem = { name: say.name, icon: 'branch', testid: 'branches-open', run: () => page.openPanel('branches') }
  const pins: MenuItem = { name: marks.pins, icon: 'pin', testid: 'pins-open', run: () => page.openPanel('pins') }
  const made = [about, find, ...(room.branches > 0 ? [branches] : []), pins, then, ...roomMenu(page, room, ways)]
  const run = (): void => void clear(page, room.id, roomTitle(room))
  if (mayGovern(room)) made.splice(-1, 0, { name: shelf.deleted.clear, icon: 'trash', testid: 'room-clear', danger: true, run })
  if (!ways.people) return made
  const name = ways.invites ? later.people.inviteMore : later.people.name
  made.splice(ways.invites ? 0 : 1, 0, { name, icon: 'people', testid: 'people-open', run: ways.people })
  return made
}

/** For who looks after the server: whether somebody waits to be let in. */
export async function lookWhoWaits({ session }: PageState): Promise<void> {
  if (session.me?.role !== 'owner' && session.me?.role !== 'admin') return
  const found = await accounts(session.api, '', null, 'pending').catch(() => null)
  if (found) session.waits = found.people.length > 0
  session.changed.emit()
}

export function personMenu(page: PageState): MenuItem[] {
  const { settings, agents, archive, deleted, programs, server, serverWaits, keys, signIn, signOut } = later.person
  const { me } = page.session
  const items: MenuItem[] = [
    { name: settings, icon: 'gear', testid: 'settings-open', run: () => page.settings() },
    { name: agents, icon: 'spark', testid: 'agents-open', run: () => page.visit(AGENTS) },
    { name: marks.stars, icon: 'star', testid: 'starred-open', run: () => page.visit(STARRED) },
    { name: archive, icon: 'box', testid: 'archive-open', run: () => page.visit(ARCHIVE) },
    { name: deleted, icon: 'trash', testid: 'deleted-open', run: () => page.visit(DELETED) },
    { name: programs, icon: 'code', testid: 'connect-open', run: () => page.settings('programs') },
  ]
  if (me?.role === 'owner' || me?.role === 'admin') {
    items.push({ name: page.session.waits ? serverWaits : server, icon: 'server', testid: 'admin-open', run: () => page.visit(adminPath(page.narrow.current ? null : 'people')) })
  }
  if (!matchMedia('(hover: none)').matches) items.push({ name: keys, icon: 'keys', testid: 'shortcuts-open', run: () => page.open('shortcuts') })
  if (me?.handle) items.push({ name: signOut, icon: 'back', testid: 'sign-out', run: () => void signOutHere(page) })
  else items.push({ name: signIn, icon: 'person', testid: 'sign-in', run: () => location.assign(`${BASE}sign-in`) })
  return items
}
