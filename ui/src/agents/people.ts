/** Who made and changed agents; and the chat that one starts with an agent. */
import type { Agent, Version } from '../lib/protocol'
import { chatWith } from '../lib/server/agents'
import { say } from '../lib/texts-agents'
import { isolated } from '../lib/words/isolated'
import type { PageState } from '../page.svelte'

export function whose({ owner, owner_name: name }: Agent, me: string): string {
  if (owner === null) return say.whose.server
  return owner === me ? say.whose.own : say.whose.of(isolated(name ?? say.somebody))
}

export function whoDid({ by, by_name: name }: Version, me: string): string {
  if (by === null) return say.operator
  return by === me ? say.you : isolated(name ?? say.somebody)
}

export async function startChat(page: PageState, agent: string): Promise<void> {
  try {
    const room = await chatWith(page.session.api, agent)
    page.session.rooms.put(room)
    page.go(room.id)
  } catch (error) {
    page.report(error)
  }
}
