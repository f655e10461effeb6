/** The calls of REST of who looks after the server. */
import type { Calls } from './calls'
import type { Account, AccountStatus, Audited, MadePerson, ResetLink, ServerRole } from '../protocol'

export interface AccountsPage {
  people: Account[]
  next: string | null
}

export function accounts(calls: Calls, search: string, cursor: string | null, status?: AccountStatus): Promise<AccountsPage> {
  const asked = new URLSearchParams({ q: search, ...(cursor === null ? {} : { cursor }), ...(status && { status }) })
  return calls.call('GET', `/people?${asked}`)
}

/** An account, and the link by which its person chooses a password, which is told this once. */
export function makeAccount(calls: Calls, handle: string, name: string | null): Promise<MadePerson> {
  return calls.call('POST', '/people', name === null ? { handle } : { handle, name })
}

export function changeAccount(calls: Calls, id: string, change: { status?: AccountStatus; role?: ServerRole }): Promise<Account> {
  return calls.call('PATCH', `/people/${encodeURIComponent(id)}`, change)
}

/** For good. */
export function deleteAccount(calls: Calls, id: string): Promise<void> {
  return calls.call('DELETE', `/people/${encodeURIComponent(id)}`)
}

export function resetLink(calls: Calls, id: string): Promise<ResetLink> {
  return calls.call('POST', `/people/${encodeURIComponent(id)}/reset`)
}

/** What happened last, or before a seq, the newest first. */
export function audited(calls: Calls, before: number | null): Promise<Audited> {
  return calls.call('GET', `/audit${before === null ? '' : `?before=${before}`}`)
}
