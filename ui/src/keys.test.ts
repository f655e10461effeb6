import { beforeEach, expect, test, vi } from 'vitest'
import { onKey } from './keys'
import { Session } from './lib/session'
import { MemoryStore } from './lib/outbox/storage'
import { room } from './testing'
import { PageState } from './page.svelte'

let page: PageState

beforeEach(() => {
  vi.stubGlobal('matchMedia', () => ({ matches: false, addEventListener: () => undefined, removeEventListener: () => undefined }))
  history.replaceState(null, '', '/')
  document.body.replaceChildren()
  page = new PageState(new Session(new MemoryStore(), () => { throw new Error('no connection is opened here') }))
  page.session.rooms.put(room('a', { active_at: '2026-11-02T00:00:00.000Z' }))
  page.session.rooms.put(room('b', { active_at: '2026-11-01T00:00:00.000Z', role: 'reader', unread: 2 }))
})

/** A key pressed in a field that holds this, or, without one, on the page. */
function press(key: string, more: KeyboardEventInit = {}, field?: string): KeyboardEvent {
  const target: HTMLElement = document.body.appendChild(document.createElement(field === undefined ? 'main' : 'textarea'))
  if (target instanceof HTMLTextAreaElement) target.value = field ?? ''
  const event = new KeyboardEvent('keydown', { key, cancelable: true, bubbles: true, ...more })
  target.addEventListener('keydown', (pressed) => onKey(page, pressed))
  target.dispatchEvent(event)
  return event
}

test('Alt and arrows lead from chat to chat, but never out of a field that holds something', () => {
  page.go('a')
  expect(press('ArrowDown', { altKey: true }, 'half a line').defaultPrevented).toBe(false)
  expect(page.route.room).toBe('a')
  press('ArrowDown', { altKey: true }, '')
  expect(page.route.room).toBe('b')
  press('ArrowUp', { altKey: true })
  expect([page.route.room, location.pathname]).toEqual(['a', '/r/a'])
  page.go(null)
  press('ArrowDown', { altKey: true, shiftKey: true })
  expect(page.route.room).toBe('b')
})

test('a question mark is itself in a field, and nothing where single keys are ended', () => {
  press('?', {}, '')
  expect(page.over).toBe(null)
  page.setSingleKeys(false)
  press('?')
  expect(page.over).toBe(null)
  page.setSingleKeys(true)
  press('?')
  expect(page.over).toBe('shortcuts')
})

test('what was wished on another device is so here, and what is strange changes nothing', () => {
  page.take({ theme: 'dark', single_keys: false, more: 1 })
  expect([page.theme, document.documentElement.dataset.theme, page.singleKeys]).toEqual(['dark', 'dark', false])
  page.take({ theme: 'pink', single_keys: 'no' })
  expect([page.theme, page.singleKeys]).toEqual(['dark', false])
  page.take({ theme: 'system', single_keys: true })
  expect([page.theme, document.documentElement.dataset.theme, page.singleKeys]).toEqual(['system', undefined, true])
})

test('F2 renames the chat that is open, if that is allowed', () => {
  press('F2')
  page.go('b')
  press('F2')
  expect(page.renaming).toBe(null)
  page.go('a')
  press('F2')
  expect(page.renaming).toEqual({ room: 'a', at: 'header' })
})

test('Escape closes the topmost, and what is closed already is not closed twice', () => {
  page.settings('keys')
  page.drawer = true
  press('Escape')
  expect([page.drawer, page.route.view]).toEqual([false, 'settings'])
  const used = new KeyboardEvent('keydown', { key: 'Escape', cancelable: true })
  used.preventDefault()
  onKey(page, used)
  expect(page.route.view).toBe('settings')
})

test('Ctrl or ⌘ and K open the palette from anywhere, also out of a field', () => {
  expect(press('k', { ctrlKey: true }, 'half a line').defaultPrevented).toBe(true)
  expect(page.over).toBe('palette')
  press('K', { metaKey: true })
  expect(page.over).toBe(null)
})

test('Ctrl or ⌘ and F look for words in the chat that is open; pressed again, they are the browser’s', () => {
  expect(press('f', { ctrlKey: true }).defaultPrevented).toBe(false)
  page.go('a')
  expect(press('f', { metaKey: true }, 'half a line').defaultPrevented).toBe(true)
  expect(page.finding).toBe(true)
  expect(press('f', { ctrlKey: true }).defaultPrevented).toBe(false)
  press('Escape')
  expect(page.finding).toBe(false)
  press('f', { ctrlKey: true })
  page.go('b')
  expect(page.finding).toBe(false)
})

test('a question is a window that waits for its answer', () => {
  const run = vi.fn()
  page.ask({ title: 'Revoke?', text: 'For good.', verb: 'Revoke', run })
  expect([page.over, page.question?.verb, run.mock.calls.length]).toEqual(['ask', 'Revoke', 0])
})

test('an installed page opens at the last chat', () => {
  page.go('b')
  history.replaceState(null, '', '/?installed')
  expect(new PageState(page.session).route).toMatchObject({ view: 'room', room: 'b' })
  expect(location.pathname + location.search).toBe('/r/b')
})
