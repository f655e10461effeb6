/** The calls of REST about what is one's own: sessions, keys, links to other devices, and connections to model servers. */
import type { Calls } from './calls'
import type { Devices, Identities, Identity, Key, Keys, MadeKey, MadeLink, Own, Profile, Profiles, Session, Sessions, Tried } from '../protocol'

export async function sessions(calls: Calls): Promise<Session[]> {
  return (await calls.call<Sessions>('GET', '/me/sessions')).sessions
}

export function endSession(calls: Calls, id: string): Promise<void> {
  return calls.call('DELETE', `/me/sessions/${encodeURIComponent(id)}`)
}

/** All but the one that asks. */
export function endOthers(calls: Calls): Promise<void> {
  return calls.call('DELETE', '/me/sessions')
}

/** Who one is at a provider, or as the proxy says it. */
export async function identities(calls: Calls): Promise<Identity[]> {
  return (await calls.call<Identities>('GET', '/me/identities')).identities
}

export function unlink(calls: Calls, id: string): Promise<void> {
  return calls.call('DELETE', `/me/identities/${encodeURIComponent(id)}`)
}

/** The address of one's picture from now on. */
export async function setPicture(calls: Calls, square: Blob): Promise<string | null> {
  return (await calls.call<Own>('PUT', '/me/avatar', square)).avatar
}

export function removePicture(calls: Calls): Promise<void> {
  return calls.call('DELETE', '/me/avatar')
}

/** One's own, or those of an agent whose program answers. */
export async function keys(calls: Calls, agent?: string): Promise<Key[]> {
  return (await calls.call<Keys>('GET', agent === undefined ? '/keys' : `/keys?agent=${encodeURIComponent(agent)}`)).keys
}

/** What a key shall be: without scopes it may everything, without days it does not end. */
export interface KeyWish {
  name?: string
  scopes?: string[]
  days?: number
  agent?: string
}

/** A key of one's own, or of an agent, and its token, which is told this once. */
export function createKey(calls: Calls, wish: KeyWish): Promise<MadeKey> {
  return calls.call('POST', '/keys', wish)
}

export function revokeKey(calls: Calls, id: string): Promise<void> {
  return calls.call('DELETE', `/keys/${encodeURIComponent(id)}`)
}

export function devices(calls: Calls): Promise<Devices> {
  return calls.call('GET', '/devices')
}

/** A link that adds a device, once; its address is told this once. */
export function createLink(calls: Calls): Promise<MadeLink> {
  return calls.call('POST', '/devices')
}

/** Ends a device, or a link. */
export function endDevice(calls: Calls, id: string): Promise<void> {
  return calls.call('DELETE', `/devices/${encodeURIComponent(id)}`)
}

/** What a connection shall be; what is left out stays as it is. */
export interface ProfileWish {
  url?: string
  key?: string
  kind?: 'openai' | 'anthropic'
  name?: string
  model?: string
  /** All of them; what is not given stays as it is. */
  headers?: Record<string, string>
  /** For everyone on this server. */
  server?: boolean
}

export async function profiles(calls: Calls): Promise<Profile[]> {
  return (await calls.call<Profiles>('GET', '/profiles')).profiles
}

export function connectProfile(calls: Calls, wish: ProfileWish): Promise<Profile> {
  return calls.call('POST', '/profiles', wish)
}

export function changeProfile(calls: Calls, id: string, wish: ProfileWish): Promise<Profile> {
  return calls.call('PATCH', `/profiles/${encodeURIComponent(id)}`, wish)
}

export function removeProfile(calls: Calls, id: string): Promise<void> {
  return calls.call('DELETE', `/profiles/${encodeURIComponent(id)}`)
}

/** The models of a server that is not kept, or of one that is (`profile`). */
export function tryProfile(calls: Calls, wish: ProfileWish & { profile?: string }): Promise<Tried> {
  return calls.call('POST', '/profiles/test', wish)
}
