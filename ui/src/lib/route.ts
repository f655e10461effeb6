/** The addresses of the page: `/`, `/r/<room>`, `/r/<room>/<seq>` and `/deleted`. Nothing is at any other. */
export interface Route {
  view: 'start' | 'room' | 'deleted' | 'nothing'
  room: string | null
  seq: number | null
}

export const DELETED = '/deleted'

export function parseRoute(path: string): Route {
  const match = /^\/r\/([A-Za-z0-9_-]{1,80})(?:\/(\d{1,15}))?\/?$/.exec(path)
  if (match) return { view: 'room', room: match[1]!, seq: match[2] ? Number(match[2]) : null }
  const view = path === '/' ? 'start' : path === DELETED ? 'deleted' : 'nothing'
  return { view, room: null, seq: null }
}

export function routePath(room: string | null, seq: number | null = null): string {
  if (!room) return '/'
  return seq === null ? `/r/${room}` : `/r/${room}/${seq}`
}
