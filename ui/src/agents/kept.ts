/** What a card of another program holds beside what is used here, and which is kept with it. */
import type { Calls } from '../lib/server/calls'
import { say } from '../lib/texts-agents'

/** What becomes a field of ours, or is one. */
const USED = new Set([
  'name', 'nickname', 'description', 'personality', 'scenario', 'system_prompt', 'first_mes', 'group_only_greetings', 'mes_example',
  'post_history_instructions', 'creator_notes', 'tags',
])

interface CharacterCard {
  data: Readonly<Record<string, unknown>>
}

/** In words; "" for nothing. */
export function keptOf({ data }: CharacterCard): string {
  const left = Object.entries(data).filter(([name, value]) => !USED.has(name) && countOf(value) > 0)
  const of = (name: string): number => countOf(left.find(([one]) => one === name)?.[1])
  const others = left.filter(([name]) => !(name in say.keeps))
  return [
    ...Object.entries(say.keeps).flatMap(([name, words]) => (of(name) > 0 ? words(of(name)) : [])),
    ...(others.length > 0 ? [say.keepsOthers(others.length)] : []),
  ].join(', ')
}

/** The card is told as its file would be. */
export async function keptIn(calls: Calls, agent: string): Promise<string> {
  return keptOf(await calls.call<CharacterCard>('GET', `/agents/${encodeURIComponent(agent)}/export?format=json`))
}

/** How many things are in it. */
function countOf(value: unknown): number {
  if (value === null || value === undefined || value === '') return 0
  return typeof value === 'object' ? Object.keys(value).length : 1
}
