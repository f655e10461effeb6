/** The calls of REST by which a browser becomes somebody: by a link, or by a handle and a password. */
import type { Calls } from './calls'
import type { Entered, LinkOwner, Me } from '../protocol'

/** Whose link it is, and who this browser is already. */
export function lookAtLink(calls: Calls, token: string): Promise<LinkOwner> {
  return calls.call('POST', '/devices/look', { token })
}

/** Makes this browser whoever made the link; `replace`: although it is somebody. */
export function redeemLink(calls: Calls, token: string, name: string, replace: boolean): Promise<Me> {
  return calls.call('POST', '/devices/redeem', { token, name, replace })
}

/** `replace`: although it is a guest who has written something. */
export function signIn(calls: Calls, handle: string, password: string, replace: boolean): Promise<Entered> {
  return calls.call('POST', '/sign-in', { handle, password, replace })
}

/** A guest stays who they are. */
export function signUp(calls: Calls, handle: string, password: string): Promise<Entered> {
  return calls.call('POST', '/sign-up', { handle, password })
}

/** Another password, by a link. */
export function reset(calls: Calls, token: string, password: string): Promise<Entered> {
  return calls.call('POST', '/reset', { token, password })
}

export function signOut(calls: Calls): Promise<void> {
  return calls.call('POST', '/sign-out')
}

/** Another password; all other sessions end. */
export function changePassword(calls: Calls, before: string, after: string): Promise<Entered> {
  return calls.call('POST', '/me/password', { old: before, new: after })
}
