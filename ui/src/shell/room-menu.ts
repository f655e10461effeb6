/** What can be done with a chat: the same words in the list, in its header and beside it. */
import type { Room } from '../lib/protocol'
import { mayGovern, mayName } from '../lib/room/rights'
import { routePath } from '../lib/route'
import { texts } from '../lib/texts'
import { roomTitle } from '../lib/words/names'
import type { MenuItem, PageState } from '../page.svelte'

export function roomMenu(page: PageState, room: Room, ways: { rename: () => void; remove: () => void }): MenuItem[] {
  const copy = (): void => void page.copy(location.origin + routePath(room.id), texts.actions.linkCopied)
  const items: MenuItem[] = [{ name: texts.room.copyLink, icon: 'link', testid: 'room-copy-link', run: copy }]
  if (mayName(room)) items.unshift({ name: texts.room.rename, icon: 'pencil', testid: 'room-rename', run: ways.rename })
  if (mayGovern(room)) {
    const archived = room.archived_at !== null
    const name = archived ? texts.room.unarchive : texts.room.archive
    const run = (): void => void page.archiveRoom(room.id, roomTitle(room), !archived)
    items.push({ name, icon: 'file', testid: 'room-archive', run })
    items.push({ name: texts.room.delete, icon: 'trash', testid: 'room-delete', danger: true, run: ways.remove })
  }
  return items
}
