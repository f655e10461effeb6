/** What the person may make of others in a room, as far as the server has told it. */
import type { MemberRole } from '../protocol'

/** The roles that the person may give to somebody who has one: nothing for themselves, whose role others gave. */
export function rolesFor(mine: MemberRole, theirs: MemberRole): MemberRole[] {
  const given: MemberRole[] = mine === 'owner' ? ['owner', 'moderator', 'member', 'reader'] : ['member', 'reader']
  return mayRemove(mine, theirs) ? given.filter((role) => role !== theirs) : []
}

/** Whether the person may take somebody out who has this role. */
export function mayRemove(mine: MemberRole, theirs: MemberRole): boolean {
  return mine === 'owner' || (mine === 'moderator' && (theirs === 'member' || theirs === 'reader'))
}
