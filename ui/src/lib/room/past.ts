/**
 * A room as it was just after one of its events, which is shown like any other. It never changes: what happens now, what
 * waits to be sent and what is being written are no part of it.
 */
import type { Page, Then } from '../protocol'
import { RoomLog } from './room'
import type { Members } from './members'
import type { LoadNotices } from './notices'

/** The newest messages as they were at the seq, or those before another one. */
export type LoadThen = (limit: number, before?: number) => Promise<Page>

export class PastLog extends RoomLog {
  override readonly members: Members
  readonly moment: Then

  /** `now`: the room as it is, whose members' pictures are those of now. */
  constructor(now: RoomLog, { messages, before, branch, then }: Page & { then: Then }, load: LoadThen, notices: LoadNotices) {
    super(now.id, (place, limit) => asked(load, then.seq, place, limit), () => Promise.reject(new Error('is not asked')), notices, () => undefined)
    this.members = now.members
    this.moment = then
    this.applySub({ t: 'sub', room: now.id, mode: 'reset', reason: 'new', seq: then.seq, messages, before, branch, streams: [] })
    // It is not followed, and nothing of it is read for the first time.
    this.live = false
  }

  /** What happened among the messages, which is best here before they are shown. */
  covered(): Promise<void> {
    return this.notices.cover(this.messages[0]?.seq ?? 0, this.newestSeq + 1)
  }

  override hasCid(): boolean {
    return true
  }
}

/** Those behind a seq are among so many seqs before a later one. */
async function asked(load: LoadThen, at: number, { before, after }: { before?: number; after?: number }, limit: number): Promise<Page> {
  if (after === undefined) return load(limit, before)
  const last = Math.min(at, after + limit)
  const { messages, branch } = await load(limit, last + 1)
  return { branch, messages: messages.filter(({ seq }) => seq > after), before: after, after: last < at ? last : null }
}
