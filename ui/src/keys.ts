/**
 * The keys that do something wherever the focus is. What has a key of its own (the lists, the composer) handles it
 * and stops it there; the rest is the browser's and the screen reader's.
 */
import { mayName } from './lib/room/rights'
import type { PageState } from './page.svelte'

export function onKey(page: PageState, event: KeyboardEvent): void {
  const { key } = event
  const command = event.metaKey || event.ctrlKey
  if (event.defaultPrevented || event.isComposing) return
  if (key.toLowerCase() === 'k' && command && !event.altKey) {
    event.preventDefault()
    if (page.over === 'palette') page.close()
    else page.open('palette')
  } else if (page.over || page.menu) return
  else if (key === 'Escape') escape(page, event)
  else if (key.toLowerCase() === 'f' && command && !event.altKey && !event.shiftKey && page.route.room && !page.finding) {
    event.preventDefault()
    page.finding = true
  } else if (key === 'F2' && !command) rename(page, event)
  else if (event.altKey && !command && (key === 'ArrowUp' || key === 'ArrowDown') && !isFilled(event.target)) {
    event.preventDefault()
    const next = page.session.rooms.beside(page.route.room, key === 'ArrowDown' ? 1 : -1, event.shiftKey)
    if (next) page.go(next.id)
  } else if (key === '?' && page.singleKeys && !command && !isField(event.target)) page.open('shortcuts')
}

/** Closes the topmost of what a dialog or a menu does not close by itself. */
function escape(page: PageState, event: KeyboardEvent): void {
  if (page.drawer) page.drawer = false
  else if (page.finding) page.finding = false
  else if (page.route.panel && !isField(event.target)) page.closePanel()
  else if (page.route.view === 'settings' || page.route.view === 'admin') page.leave()
}

function rename(page: PageState, event: KeyboardEvent): void {
  const room = page.route.room ? page.session.rooms.get(page.route.room) : undefined
  if (!room || !mayName(room)) return
  event.preventDefault()
  page.renaming = { room: room.id, at: 'header' }
}

export function isField(target: EventTarget | null): boolean {
  return target instanceof HTMLElement && (target.isContentEditable || /^(input|textarea|select)$/i.test(target.tagName))
}

function isFilled(target: EventTarget | null): boolean {
  return isField(target) && (target as HTMLTextAreaElement).value !== ''
}
