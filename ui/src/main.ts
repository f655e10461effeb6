/**
 * Starts the page. Elements that matter carry a `data-testid`; tests from outside use these names:
 *
 * list: room-list, room-item (data-room, aria-current), room-more (its menu: room-rename, room-copy-link, room-mute, room-hide, room-archive, room-delete),
 * room-title-input, unread, runs, room-fold, programs-all, new-room, search-open, sidebar-toggle,
 * person (their menu: settings-open, archive-open, deleted-open, connect-open, shortcuts-open, sign-in or sign-out), menu (the one that is open)
 * mark (what tells apart whose names look alike), waits (somebody does, to be let in),
 * room: room-title, room-parent, room-menu (panel-open, find-open and what room-more has), message-list, message (data-seq, data-status, data-role,
 * data-own), message-text, streaming (an answer being written), thinking, retry, continue, stop (where several answer, its menu: stop-all and one for each), answers (leads to what is answered), side-left and side-right (two answers in one place), reasoning,
 * model (the one that answers; what opens: models, model-search, model-choice, model-two, model-one, model-connect, model-settings), answer-model (of two
 * beside each other), own (what a chat has of its own: own-agent/-instructions/-model/-temperature, own-save, own-keep, own-name, own-make),
 * message-copy, message-again, message-more (its menu: copy-link, message-edit, menu-again, menu-again-with, menu-new-chat, inspect), versions (of what stands behind a fork: version-previous, version-next), edit-open, edit-form (edit-text, edit-cancel, edit-save, edit-again, edit-conflict with edit-see and edit-mine), edited (opens history: history-version, history-text), message with data-state sending|accepted|stored|rejected
 * (not yet in the room; accepted: also of others), resend, discard, edit, jump-newest, typing, composer, answer-line (who will answer), add-mention, mentions, mention, closed (why there is none), send,
 * notice (what happened among the messages; notices: after the last one), start-of-room, client (by which program, and where), kept-despite, room-problem, slow (what a wait says after a while), slow-again, door (came through the API), aside (data-kind: a step of a
 * run or one by itself: prompt, thought, said, command, edit, look, child, tool, result, item; data-step: its seq), tool-state,
 * run (data-seq: all that an agent did for one answer), run-head, run-later, diff, open-child, load-older, choice, refusal, parts, inspect, answer-status (how an answer ended), details (the provider's own words),
 * people (who is in it, and how many), invite, people-open, panel, panel-close; in the panel of people: member (data-role), member-more
 * (its menu: make-owner/-moderator/-member/-reader, member-give, member-remove), add-search, add-person, leave, agent, speaks, order, agent-more (its menu: agent-ask, agent-card, agent-remove), add-agent, agent-share, share-these, share-everyone, not-for-me, agents-to-add, find-agent, agent-to-add, presence (who is here, and who is away), invitations, invite-make, invite-offer,
 * invite-role/-uses/-days, invite-link, invite-instead, invite-revoke, invitation, invitation-revoke
 * branches: branches-open (in room-menu), branch (branch-look, branch-name, branch-more: branch-rename/-main/-delete), branches-more
 * as it was: then-open (in room-menu), then (what was to be read), then-title, then-bar, then-back, then-slider, then-when, then-what (had happened), then-link, then-members,
 * settings: settings, settings-profile/-appearance/-sessions/-devices/-keys/-models/-programs, settings-back, name-input, own-handle, profile-sign-out,
 * theme-light/-dark/-system, single-keys, show-here, picture-choose, picture-file, picture-remove, picture-problem, session, session-end, sessions-end, identity, identity-end, identity-link, devices, device-make, device-code, device-link, link-local,
 * profile (its menu: profile-edit, profile-try, profile-remove), profile-more, profile-connect, profile-form, profile-url/-key/-everyone/-kind/-name/-model, profile-found, profile-test/-save/-cancel,
 * account-make, password-before, password-after, password-change, device-revoke, key, key-make, key-offer, key-name, key-may, key-days, key-unstored, key-token, key-revoke, connect, base-url, snippet
 * admin: admin, admin-people/-audit, admin-back, people-search, person-row (data-role, data-status), person-more (its menu: person-reset,
 * person-owner/-admin/-person, person-disable, person-enable), person-let-in, person-turn-away (of who waits), person-add, person-handle, person-name, person-make, person-link, audit,
 * audited, audit-older
 * search: search, search-input, chip-in/-from/-when/-has (their menus: chip-in-any, chip-in-0 and so on), search-sort (sort-newest, sort-best), search-status,
 * search-missing (why it is not complete), search-problem, search-everywhere, search-chat, hit (data-hit), search-more; in a chat: find, find-input, find-count,
 * find-earlier, find-later, find-close
 * around it: banner (data-state: offline|reconnecting|db|outdated|stopped|refused), toast, toast-undo, palette,
 * palette-input, palette-item, palette-message, palette-all, ask, ask-cancel, ask-yes, ask-instead, home, model-hint, guest, ownerless, come-in, close (of a dialog or the settings),
 * shortcuts, archive, archived-room, hidden-room, unarchive, unhide, deleted, deleted-room, restore, inspector, exchange-state, exchange-json, copy-json, told, told-state, told-words, copy-told
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
