/** What a search says of its own answer where that is not complete. */
import type { Found } from '../lib/protocol'
import { say } from '../lib/texts-find'
import { dated } from '../lib/words/moments'
import { clock, dayOf } from '../lib/words/time'

/** Null: nothing is left out. */
export function behind({ complete, indexed_until: until }: Omit<Found, 'hits'>, now: Date): string | null {
  if (complete) return null
  if (until === null) return say.late
  if (Date.parse(until) === 0) return say.made
  return say.behind(dayOf(until) === dayOf(now.toISOString()) ? clock(until) : dated(until))
}
