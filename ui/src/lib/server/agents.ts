/** The calls of REST about agents: a library of cards, of which each change is a version. */
import { BASE } from './base'
import { problemOf, type Calls } from './calls'
import { Problem } from './errors'
import type { Agent, Agents, Card, Imported, Room, Templates, Versions } from '../protocol'

const one = (agent: string): string => `/agents/${encodeURIComponent(agent)}`

/** What is to be of an agent; what is not given stays as it is. */
export type Changes = Partial<
  Omit<Card, 'avatar' | 'imported'> & { audience: Agent['audience']; people: string[]; archived: boolean }
>

/** Those that one may use; `all`: those that one may edit, also archived ones. */
export async function agents(calls: Calls, all = false): Promise<Agent[]> {
  return (await calls.call<Agents>('GET', `/agents${all ? '?all=true' : ''}`)).agents
}

/** Cards to begin with, whose handles are suggestions. */
export async function templates(calls: Calls): Promise<Card[]> {
  return (await calls.call<Templates>('GET', '/agents/templates')).templates
}

export function agent(calls: Calls, id: string): Promise<Agent> {
  return calls.call('GET', one(id))
}

/** The same `id` again gives what is there. */
export function make(calls: Calls, id: string, changes: Changes): Promise<Agent> {
  return calls.call('POST', '/agents', { ...changes, id })
}

export function change(calls: Calls, id: string, changes: Changes): Promise<Agent> {
  return calls.call('PATCH', one(id), changes)
}

export function duplicate(calls: Calls, id: string): Promise<Agent> {
  return calls.call('POST', `${one(id)}/duplicate`, {})
}

/** The newest first. */
export function versions(calls: Calls, id: string, before: number | null): Promise<Versions> {
  return calls.call('GET', `${one(id)}/versions${before === null ? '' : `?before=${before}`}`)
}

export function restore(calls: Calls, id: string, version: number): Promise<Agent> {
  return calls.call('POST', `${one(id)}/versions/${version}/restore`)
}

/** The picture is another version of the card. */
export function setPicture(calls: Calls, id: string, square: Blob): Promise<Agent> {
  return calls.call('PUT', `${one(id)}/avatar`, square)
}

export function removePicture(calls: Calls, id: string): Promise<Agent> {
  return calls.call('DELETE', `${one(id)}/avatar`)
}

/** Makes an agent of a file that this or another program wrote; the same `id` again makes no other. */
export async function bring(calls: Calls, id: string, file: Blob): Promise<Agent> {
  return (await calls.call<Imported>('POST', `/agents/import?id=${id}`, file)).agent
}

export const FORMATS = ['palaver', 'json', 'png'] as const

/** An agent as a file. */
export async function fileOf(id: string, format: (typeof FORMATS)[number]): Promise<File> {
  const found = await fetch(`${BASE}api${one(id)}/export?format=${format}`).catch(() => null)
  if (!found) throw new Problem('offline', { temporary: true })
  if (!found.ok) throw new Problem(((await found.json().catch(() => ({}))) as { code?: string }).code ?? '', { status: found.status })
  const name = /filename="([^"]+)"/.exec(found.headers.get('content-disposition') ?? '')?.[1]
  return new File([await found.blob()], name ?? `agent.${format === 'png' ? format : 'json'}`)
}

/** What was said in a try. */
export interface Heard {
  role: 'user' | 'assistant'
  text: string
}

/** What is asked of an agent, or of one that is not made yet (null), with what is to be of it. */
export interface Attempt {
  agent: string | null
  card?: Changes
  messages: Heard[]
}
export interface End {
  status: string
  model: string | null
  finish: string | null
  usage: { input?: number; output?: number }
  ms: { total?: number }
  error: { code: string; detail: string } | null
}
type Piece = { text?: string; thought?: string }

/** Asks it, and tells each piece as it comes; what ends the `signal` ends the answer. Nothing of it is kept. */
export async function attempt(given: Attempt, signal: AbortSignal, onpiece: (piece: Piece) => void): Promise<End> {
  const body = JSON.stringify(given.card ? given : { ...given, card: {} })
  const headers = { 'Content-Type': 'application/json' }
  const found = await fetch(`${BASE}api/agents/try`, { method: 'POST', headers, body, signal })
  if (!found.ok || !found.body) throw await problemOf(found)
  const reader = found.body.pipeThrough(new TextDecoderStream()).getReader()
  let rest = ''
  for (;;) {
    const { done, value = '' } = await reader.read()
    const events = (rest + value).split('\n\n')
    rest = events.pop() ?? ''
    for (const event of events) {
      const [, name, data = ''] = /^event: (\w+)\ndata: (.*)$/.exec(event) ?? []
      if (name === 'piece') onpiece(JSON.parse(data) as Piece)
      if (name === 'end') return JSON.parse(data) as End
    }
    if (done) throw new Problem('offline', { temporary: true })
  }
}

/** A chat in which this agent answers. */
export function chatWith(calls: Calls, id: string): Promise<Room> {
  return calls.call('POST', '/rooms', { agents: [id] })
}
