/**
 * Starts the page. Elements that matter carry a `data-testid`; tests from outside use these names:
 *
 * sidebar: room-list, room-item (data-room, aria-current), new-room, room-search, room-rename,
 * room-delete, room-title-input, unread, sidebar-toggle, settings-open, settings, name-input, theme-light/-dark/-system
 * room: room-title, message-list, message (data-seq, data-status, data-role, data-own), message-text,
 * streaming (an answer being written), thinking, retry, continue, stop, stop-one, copy-link, reasoning,
 * message with data-state sending|accepted|stored|rejected (not yet in the room; accepted: also of others), resend, discard, edit, jump-newest, typing, composer, send, start-of-room,
 * room-problem, door (came through the API), aside (data-kind: a prompt, a tool's call or result, an item), tool-state, choice,
 * refusal, parts, inspect
 * answer-status (how an answer ended), details (the provider's own words)
 * around it: banner (data-state: offline|reconnecting|db|outdated|stopped|refused), toast, toast-undo, palette, palette-input, palette-item, home, model-hint,
 * close (of a dialog), shortcuts, shortcuts-open, deleted-open, deleted, deleted-room, restore,
 * guest, devices-open, devices, device, device-make, device-code, device-link, device-local, device-revoke, device-end
 * connect-open, connect, base-url, snippet, inspector, exchange-state, exchange-json, copy-json
 */
import { mount } from 'svelte'
import App from './App.svelte'
import { BASE } from './lib/base'
import type { Socket } from './lib/connection'
import { Session } from './lib/session'
import { openStorage } from './lib/storage'
import { preloadMarkdown } from './markdown'

const scheme = location.protocol === 'https:' ? 'wss' : 'ws'
const session = new Session(openStorage(), () => {
  return new WebSocket(`${scheme}://${location.host}${BASE}ws`, 'palaver.v1') as unknown as Socket
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
  void preloadMarkdown()
}
