/**
 * Starts the page. Elements that matter carry a `data-testid`; tests from outside use these names:
 *
 * sidebar: room-list, room-item (data-room, aria-current), new-room, room-search, room-rename,
 * room-delete, room-title-input, unread, sidebar-toggle, settings-open, settings, name-input, theme-light/-dark/-system
 * room: room-title, message-list, message (data-seq, data-status, data-role, data-own), message-text,
 * streaming (a message being written), thinking, pending (data-state), retry, stop, copy-link, reasoning,
 * resend, discard, edit, jump-newest, typing, composer, send, start-of-room
 * around it: banner (data-state), toast, toast-undo, palette, palette-input, palette-item, home, model-hint
 */
import { mount } from 'svelte'
import App from './App.svelte'
import type { Socket } from './lib/connection'
import { Session } from './lib/session'

const scheme = location.protocol === 'https:' ? 'wss' : 'ws'
const session = new Session(localStorage, () => {
  return new WebSocket(`${scheme}://${location.host}/ws`, 'palaver.v1') as unknown as Socket
})
addEventListener('online', () => session.connection.wake())
document.addEventListener('visibilitychange', () => {
  if (!document.hidden) session.connection.wake()
})
addEventListener('storage', (event) => session.outbox.onStorage(event.key, event.newValue))

const target = document.getElementById('app')
if (target) {
  target.replaceChildren()
  mount(App, { target, props: { session } })
  void session.start()
}
