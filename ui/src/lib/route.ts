/** The addresses of the page: `/`, `/r/<room>`, `/r/<room>/<seq>` and `/deleted`. Nothing is at any other. */
import { BASE } from './base'

export interface Route {
  view: 'start' | 'room' | 'deleted' | 'nothing'
  room: string | null
  seq: number | null
}

export const DELETED = `${BASE}deleted`

export function parseRoute(path: string): Route {
  const below = path.startsWith(BASE) ? path.slice(BASE.length - 1) : `${path}/` === BASE ? '/' : path
  const match = /^\/r\/([A-Za-z0-9_-]{1,80})(?:\/(\d{1,15}))?\/?$/.exec(below)
  if (match) return { view: 'room', room: match[1]!, seq: match[2] ? Number(match[2]) : null }
  const view = below === '/' ? 'start' : path === DELETED ? 'deleted' : 'nothing'
  return { view, room: null, seq: null }
}

export function routePath(room: string | null, seq: number | null = null): string {
  if (!room) return BASE
  return seq === null ? `${BASE}r/${room}` : `${BASE}r/${room}/${seq}`
}
