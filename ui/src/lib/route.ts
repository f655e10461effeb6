/** The addresses of the page: `/`, `/r/<room>` and `/r/<room>/<seq>`. */
export interface Route {
  room: string | null
  seq: number | null
}

export function parseRoute(path: string): Route {
  const match = /^\/r\/([A-Za-z0-9_-]{1,80})(?:\/(\d{1,15}))?\/?$/.exec(path)
  if (!match) return { room: null, seq: null }
  return { room: match[1]!, seq: match[2] ? Number(match[2]) : null }
}

export function routePath(room: string | null, seq: number | null = null): string {
  if (!room) return '/'
  return seq === null ? `/r/${room}` : `/r/${room}/${seq}`
}
