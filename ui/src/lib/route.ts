/**
 * The addresses of the page: `/` (`?p=chat`: what the next chat has of its own), `/r/<room>[/<seq>]`, `/settings[/<section>]`,
 * `/admin[/<section>]`, `/agents[/…]`, `/search[?q=&in=]`, `/archive`, `/deleted` and `/starred`; `?p=` names what stands beside the talk, and of
 * the chat as it was the moment.
 * Nothing is at any other.
 */
import { BASE } from './server/base'

export const SECTIONS = ['profile', 'appearance', 'sessions', 'devices', 'keys', 'invitations', 'models', 'usage', 'programs'] as const
export type SettingsSection = (typeof SECTIONS)[number]

export const ADMIN_SECTIONS = ['rooms', 'people', 'invitations', 'usage', 'profiles', 'events', 'audit'] as const
export type AdminSection = (typeof ADMIN_SECTIONS)[number]

export type PanelName = 'chat' | 'people' | 'pins' | 'branches' | `asof:${string}`

export interface Route {
  view: 'start' | 'room' | 'settings' | 'admin' | 'agents' | 'search' | 'archive' | 'deleted' | 'starred' | 'nothing'
  room: string | null
  seq: number | null
  /** Of the settings; null for the list of them. */
  section: SettingsSection | null
  /** Of what admins do. */
  admin: AdminSection | null
  /** What stands behind the name of the view; of a search, what is looked for. */
  part: string | null
  /** What stands beside the talk. */
  panel: PanelName | null
}

const NOWHERE: Route = { view: 'nothing', room: null, seq: null, section: null, admin: null, part: null, panel: null }
const ROOM = /^\/r\/([A-Za-z0-9_-]{1,80})(?:\/(\d{1,15}))?\/?$/
const PANEL = /^(chat|people|pins|branches|asof:\d{1,15})$/
const PARTS = /^\/(?:(settings|admin|agents|search|archive|deleted|starred)(?:\/([\w/-]+))?)?$/

export const DELETED = `${BASE}deleted`
export const AGENTS = `${BASE}agents`
export const ARCHIVE = `${BASE}archive`
export const STARRED = `${BASE}starred`

export function parseRoute(path: string, search = ''): Route {
  const below = path.startsWith(BASE) ? path.slice(BASE.length - 1) : `${path}/` === BASE ? '/' : path
  const room = ROOM.exec(below)
  if (room) {
    const beside = new URLSearchParams(search).get('p')
    const panel = PANEL.exec(beside ?? '') ? (beside as PanelName) : null
    return { ...NOWHERE, view: 'room', room: room[1]!, seq: room[2] ? Number(room[2]) : null, panel }
  }
  const [found, view = 'start', part = null] = PARTS.exec(below) ?? []
  if (found === '/') return { ...NOWHERE, view: 'start', panel: new URLSearchParams(search).get('p') === 'chat' ? 'chat' : null }
  const section = SECTIONS.find((name) => view === 'settings' && name === part) ?? null
  const admin = ADMIN_SECTIONS.find((name) => view === 'admin' && name === part) ?? null
  if (!found || (part && !section && !admin && view !== 'agents')) return NOWHERE
  return { ...NOWHERE, view: view as Route['view'], section, admin, part: view === 'search' ? search : part }
}

export function routePath(room: string | null, seq: number | null = null, panel: PanelName | null = null): string {
  return `${BASE}${room ? `r/${room}` : ''}${seq === null ? '' : `/${seq}`}${panel ? `?p=${panel}` : ''}`
}

export function settingsPath(section: SettingsSection | null = null): string {
  return section ? `${BASE}settings/${section}` : `${BASE}settings`
}

export function adminPath(section: AdminSection | null = null): string {
  return section ? `${BASE}admin/${section}` : `${BASE}admin`
}
