/** The calls of REST about which ways in there are, and by a provider. */
import type { Calls } from './calls'
import { signOut } from './entering'
import type { Away, Ways } from '../protocol'

/** How one may sign in here. */
export function waysIn(calls: Calls): Promise<Ways> {
  return calls.call('GET', '/sign-in')
}

/** Signs out here, and goes to the provider to sign out there, too, which sends the browser back. */
export async function leaveElsewhere(calls: Calls): Promise<void> {
  await signOut(calls)
  location.assign((await calls.call<Away>('POST', '/oidc/end')).url)
}

/** Goes to the provider, which sends the browser back; `link`: for another way in, `replace`: also if it is a guest's. */
export async function goElsewhere(calls: Calls, wish: { next?: string; link?: boolean; replace?: boolean }): Promise<void> {
  location.assign((await calls.call<Away>('POST', '/oidc/start', wish)).url)
}
