/**
 * The addresses of the page: `/`, `/r/<room>[/<seq>]`, `/settings[/<section>]` and `/deleted`; `?p=` names what stands
 * beside the talk. Nothing is at any other.
 */
import { BASE } from './server/base'

export const SECTIONS = ['profile', 'appearance', 'devices', 'keys', 'models', 'programs'] as const
export type SettingsSection = (typeof SECTIONS)[number]

export type PanelName = 'chat' | 'people'

export interface Route {
  view: 'start' | 'room' | 'settings' | 'deleted' | 'nothing'
  room: string | null
  seq: number | null
  /** Of the settings; null for the list of them. */
  section: SettingsSection | null
  /** What stands beside the talk. */
  panel: PanelName | null
}

const NOWHERE: Route = { view: 'nothing', room: null, seq: null, section: null, panel: null }
const ROOM = /^\/r\/([A-Za-z0-9_-]{1,80})(?:\/(\d{1,15}))?\/?$/
const PANELS: readonly PanelName[] = ['chat', 'people']
const SETTINGS = /^\/settings(?:\/([a-z]+))?$/

export const DELETED = `${BASE}deleted`

export function parseRoute(path: string, search = ''): Route {
  const below = path.startsWith(BASE) ? path.slice(BASE.length - 1) : `${path}/` === BASE ? '/' : path
  const room = ROOM.exec(below)
  if (room) {
    const beside = new URLSearchParams(search).get('p')
    const panel = PANELS.find((name) => name === beside) ?? null
    return { ...NOWHERE, view: 'room', room: room[1]!, seq: room[2] ? Number(room[2]) : null, panel }
  }
  const settings = SETTINGS.exec(below)
  const section = SECTIONS.find((name) => name === settings?.[1]) ?? null
  if (settings && (section || !settings[1])) return { ...NOWHERE, view: 'settings', section }
  return { ...NOWHERE, view: below === '/' ? 'start' : path === DELETED ? 'deleted' : 'nothing' }
}

export function routePath(room: string | null, seq: number | null = null, panel: PanelName | null = null): string {
  if (!room) return BASE
  return `${BASE}r/${room}${seq === null ? '' : `/${seq}`}${panel ? `?p=${panel}` : ''}`
}

export function settingsPath(section: SettingsSection | null = null): string {
  return section ? `${BASE}settings/${section}` : `${BASE}settings`
}
