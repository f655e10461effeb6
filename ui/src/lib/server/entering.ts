/** The calls of REST by which a browser becomes somebody: by a link, or by a handle and a password. */
import type { Calls } from './calls'
import type { Asking, Entered, LinkOwner, Me } from '../protocol'

/** Whose link it is, and who this browser is already. */
export function lookAtLink(calls: Calls, token: string): Promise<LinkOwner> {
  return calls.call('POST', '/devices/look', { token })
}

/** Makes this browser whoever made the link; `replace`: although it is somebody. */
export function redeemLink(calls: Calls, token: string, name: string, replace: boolean): Promise<Me> {
  return calls.call('POST', '/devices/redeem', { token, name, replace })
}

/** What becomes of what the guest has that this browser is: it stays behind, comes along, or one is asked first. */
export type OfGuest = 'ask' | 'replace' | 'bring'

export function signIn(calls: Calls, handle: string, password: string, guest: OfGuest): Promise<Entered> {
  return calls.call('POST', '/sign-in', { handle, password, ...(guest === 'ask' ? {} : { [guest]: true }) })
}

/** Whether the link is good that the server printed, and who this browser is already. */
export function lookAtSetup(calls: Calls, token: string): Promise<Asking> {
  return calls.call('POST', '/setup/look', { token })
}

/** The account of the server's first owner, once. A guest stays who they are. */
export function setUp(calls: Calls, token: string, handle: string, password: string, name: string): Promise<Entered> {
  return calls.call('POST', '/setup', { token, handle, password, name })
}

/** A guest stays who they are; `by`: an invitation to the server, and another name. */
export function signUp(calls: Calls, handle: string, password: string, by: { invitation?: string; name?: string } = {}): Promise<Entered> {
  return calls.call('POST', '/sign-up', { handle, password, ...by })
}

/** The id of who this browser is; null where that is nobody. */
export async function whoAmI(calls: Calls): Promise<string | null> {
  const asked: Promise<Me> = calls.call('GET', '/me')
  return asked.then((me) => me.id, () => null)
}

/** Another password, by a link. */
export function reset(calls: Calls, token: string, password: string): Promise<Entered> {
  return calls.call('POST', '/reset', { token, password })
}

export function signOut(calls: Calls): Promise<void> {
  return calls.call('POST', '/sign-out')
}

/** For good; the password of who has one. */
export function leave(calls: Calls, password: string): Promise<void> {
  return calls.call('DELETE', '/me', { password })
}

/** Another password; all other sessions end. */
export function changePassword(calls: Calls, before: string, after: string): Promise<Entered> {
  return calls.call('POST', '/me/password', { old: before, new: after })
}
