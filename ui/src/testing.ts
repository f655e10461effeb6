/** Small makers of protocol values for tests. */
import type { Member, Message, Page, Room, RoomEvent } from './lib/protocol'

export function message(seq: number, more: Partial<Message> = {}): Message {
  return {
    id: `m_${seq}`, room: 'r_1', seq, by: 'u_2', name: 'Bo', role: 'user', kind: 'text', status: 'done',
    text: `text ${seq}`, cid: null, reply_to: null, branch: 0, at: '2026-11-20T20:00:00.000Z', edited_at: null,
    deleted_at: null, meta: {}, ...more,
  }
}

export function messages(from: number, to: number): Message[] {
  return Array.from({ length: to - from + 1 }, (_, index) => message(from + index))
}

export function created(seq: number, more: Partial<Message> = {}): RoomEvent {
  const made = message(seq, more)
  return { room: 'r_1', seq, k: 'message.created', at: made.at, by: made.by, d: { ...made } }
}

export function event(seq: number, k: string, d: Record<string, unknown>): RoomEvent {
  return { room: 'r_1', seq, k, at: '2026-11-20T20:01:00.000Z', by: 'u_2', d }
}

export function member(id: string, more: Partial<Member> = {}): Member {
  return { id, name: id, kind: 'person', guest: false, handle: null, avatar: null, role: 'member', joined_at: '2026-11-20T20:00:00.000Z', speaks: null, for_me: null, ...more }
}

export function room(id: string, more: Partial<Room> = {}): Room {
  return {
    id, title: id, visibility: 'private', open_to: null, open_role: null, role: 'owner', joined: true, seq: 1, created_at: '2026-11-01T00:00:00.000Z',
    active_at: '2026-11-01T00:00:00.000Z', deleted_at: null, archived_at: null, muted: false, hidden: false, pinned: false, read_seq: 1, unread: 0, agents: [], door: null, parent: null, client: null, turns: 'together', greets: true, branch: 0, main_branch: 0, branches: 0, forked: null, ...more,
  }
}

/** Answers like the server would, from a room whose messages are `first` … `last`. */
export function pagesOf(first: number, last: number) {
  return (place: { before?: number; after?: number; around?: number }, limit: number): Promise<Page> => {
    const { before, after, around } = place
    let from = first
    if (after !== undefined) from = after + 1
    else if (around !== undefined) from = around - Math.floor(limit / 2)
    else if (before !== undefined) from = before - limit
    from = Math.max(first, from)
    const to = Math.min(last, before !== undefined ? before - 1 : from + limit - 1)
    return Promise.resolve({
      messages: messages(from, to),
      before: from > first ? from : null,
      after: to < last ? to : null,
      branch: 0,
    })
  }
}
