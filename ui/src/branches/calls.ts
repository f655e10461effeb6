/** The calls about the branches of a chat, made by what is loaded with them. */
import type { Calls } from '../lib/server/calls'
import type { Branch, BranchList, BranchTurn, Message, Page, Room } from '../lib/protocol'

const one = (room: string): string => `/rooms/${encodeURIComponent(room)}`
const message = (id: string): string => `/messages/${encodeURIComponent(id)}`

export function branchesOf(calls: Calls, room: string): Promise<BranchList> {
  return calls.call('GET', `${one(room)}/branches`)
}

/** What was said first in a branch; null where nothing was. */
export async function firstOf(calls: Calls, room: string, { branch, after }: Branch): Promise<Message | null> {
  const page = await calls.call<Page>('GET', `${one(room)}/messages?branch=${branch}&after=${after}&limit=1`)
  return page.messages[0] ?? null
}

export function nameBranch(calls: Calls, room: string, branch: number, name: string | null): Promise<Branch> {
  return calls.call('PATCH', `${one(room)}/branches/${branch}`, { name })
}

export function deleteBranch(calls: Calls, room: string, branch: number): Promise<void> {
  return calls.call('DELETE', `${one(room)}/branches/${branch}`)
}

export function restoreBranch(calls: Calls, room: string, branch: number): Promise<unknown> {
  return calls.call('POST', `${one(room)}/branches/${branch}/restore`)
}

/** Whoever has chosen none sees this one. */
export function setMain(calls: Calls, room: string, branch: number): Promise<Room> {
  return calls.call('PUT', `${one(room)}/main-branch`, { branch })
}

/** Another answer beside this one. */
export function regenerate(calls: Calls, answer: string, model?: string): Promise<BranchTurn> {
  return calls.call('POST', `${message(answer)}/regenerate`, model === undefined ? {} : { model })
}

/** A new chat with all that was said up to a message. */
export function fork(calls: Calls, upTo: string): Promise<Room> {
  return calls.call('POST', `${message(upTo)}/fork`)
}
