/**
 * Starts the page. Elements that matter carry a `data-testid`; tests from outside use these names:
 *
 * list: room-list, room-item (data-room, aria-current), room-more (its menu: room-rename, room-copy-link, room-archive, room-delete),
 * room-title-input, unread, runs, room-fold, programs-all, new-room, search-open, sidebar-toggle,
 * person (their menu: settings-open, deleted-open, connect-open, shortcuts-open, sign-in or sign-out), menu (the one that is open)
 * room: room-title, room-parent, room-menu (panel-open and what room-more has), message-list, message (data-seq, data-status, data-role,
 * data-own), message-text, streaming (an answer being written), thinking, retry, continue, stop, stop-one, reasoning,
 * message-copy, message-more (its menu: copy-link, inspect), message with data-state sending|accepted|stored|rejected
 * (not yet in the room; accepted: also of others), resend, discard, edit, jump-newest, typing, composer, closed (why there is none), send,
 * start-of-room, client (by which program, and where), kept-despite, room-problem, slow (what a wait says after a while), slow-again, door (came through the API), aside (data-kind: a step of a
 * run or one by itself: prompt, thought, said, command, edit, look, child, tool, result, item; data-step: its seq), tool-state,
 * run (data-seq: all that an agent did for one answer), run-head, run-later, diff, open-child, load-older, choice, refusal, parts, inspect, answer-status (how an answer ended), details (the provider's own words),
 * people (who is in it, and how many), invite, people-open, panel, panel-close; in the panel of people: member (data-role), member-more
 * (its menu: make-owner/-moderator/-member/-reader, member-remove), leave, invitations, invite-make, invite-offer,
 * invite-role/-uses/-days, invite-link, invite-instead, invite-revoke, invitation, invitation-revoke
 * settings: settings, settings-profile/-appearance/-devices/-keys/-models/-programs, settings-back, name-input,
 * theme-light/-dark/-system, single-keys, devices, device, device-make, device-code, device-link, device-local,
 * account-make, password-before, password-after, password-change, device-revoke, device-end, key, key-make, key-unstored, key-token, key-revoke, connect, base-url, snippet
 * around it: banner (data-state: offline|reconnecting|db|outdated|stopped|refused), toast, toast-undo, palette,
 * palette-input, palette-item, ask, ask-cancel, ask-yes, home, model-hint, guest, close (of a dialog or the settings),
 * shortcuts, deleted, deleted-room, restore, inspector, exchange-state, exchange-json, copy-json
 */
import { mount } from 'svelte'
import App from './App.svelte'
import { BASE } from './lib/server/base'
import type { Socket } from './lib/server/connection'
import { Session } from './lib/session'
import { openStorage } from './lib/outbox/storage'
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
