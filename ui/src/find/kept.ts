/** The lists of hits that this page has, each at its entry of the browser's history, until it is loaded anew. */
import type { PageState } from '../page.svelte'
import { Listing } from './listing.svelte'

const LISTS_MAX = 8
const HITS = 20
const lists = new WeakMap<PageState, Map<string, Entry>>()
let made = 0

/** A list, and the address that it is at. */
export class Entry extends Listing {
  readonly id = `${Date.now()}-${++made}`
  /** What stands behind the path. */
  part: string | null = null
  /** The message that was opened from it, to which the focus comes back. */
  left: string | null = null
}

function atEntry(): string | null {
  const state: unknown = history.state
  return typeof state === 'object' && state !== null && 'found' in state ? String(state.found) : null
}

/** The list of the entry at which one is. */
export function kept(page: PageState): Entry | undefined {
  return lists.get(page)?.get(atEntry() ?? '')
}

/** The same, or else a new one of what the address asks for. */
export function entered(page: PageState): Entry {
  const { part } = page.route
  const known = kept(page)
  if (known?.part === part) return known
  const asked = new URLSearchParams(part ?? '')
  const entry = new Entry(page.session.api, HITS)
  entry.part = part
  entry.query = asked.get('q') ?? ''
  entry.room = asked.get('in')
  entry.best = asked.get('sort') === 'best'
  const all = lists.get(page) ?? new Map<string, Entry>()
  lists.set(page, all.set(entry.id, entry))
  for (const old of [...all.keys()].slice(0, -LISTS_MAX)) all.delete(old)
  noted(entry)
  return entry
}

/** Says at the entry which list it has. */
export function noted(entry: Entry): void {
  history.replaceState({ ...(history.state as object | null), found: entry.id }, '')
}
