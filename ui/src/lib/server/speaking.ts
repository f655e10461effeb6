/** The calls of REST about who answers in a chat, made by the panels and the field where one writes. */
import type { Calls } from './calls'
import type { Member, OwnSettings, Room, Speaks, Turns } from '../protocol'
import type { Session } from '../session'

const one = (room: string): string => `/rooms/${encodeURIComponent(room)}`

export function setSpeaks(calls: Calls, room: string, agent: string, speaks: Speaks): Promise<Member> {
  return calls.call('PUT', `${one(room)}/members/${encodeURIComponent(agent)}/speaks`, { speaks })
}

/** Whether agents of a room answer all at once or one after the other, and whether one that comes greets. */
export function setSpeaking(calls: Calls, room: string, how: Partial<Pick<Room, 'turns' | 'greets'>>): Promise<Room> {
  return calls.call('PUT', `${one(room)}/speaking`, how)
}

/** Asks an agent to answer what was said last, or a message. */
export function ask(calls: Calls, room: string, agent: string, message: string | null): Promise<Turns> {
  return calls.call('POST', `${one(room)}/ask`, { agents: [agent], message })
}

/** What a chat has of its own for an agent there. */
export function ownSettings(calls: Calls, room: string, agent: string): Promise<OwnSettings> {
  return calls.call('GET', `${one(room)}/members/${encodeURIComponent(agent)}/settings`)
}

type OwnWish = Partial<Omit<OwnSettings, 'asks' | 'bot'>>

/** What is not given is as the agent's card says. */
export function setOwnSettings(calls: Calls, room: string, agent: string, wanted: OwnWish): Promise<OwnSettings> {
  return calls.call('PUT', `${one(room)}/members/${encodeURIComponent(agent)}/settings`, wanted)
}

/** Keeps them for the next chat that is made. One that cannot have them is not left behind without a word in it. */
export function setAhead(session: Session, own: OwnWish): void {
  const some = own.instructions || own.model || typeof own.temperature === 'number'
  const set = ({ id, agents }: Room): Promise<unknown> =>
    setOwnSettings(session.api, id, agents[0]?.id ?? '', own).catch(async (error: unknown) => {
      await session.deleteRoom(id).catch(() => undefined)
      throw error
    })
  session.ahead = some ? { own, set } : null
  session.changed.emit()
}
