/** What happened on the server, in words. The events name nobody: who an id is, is asked elsewhere. */
import type { RoomEvent } from '../lib/protocol'
import { admin } from '../lib/texts-admin'

type Lookup = (id: string) => string | undefined

/** `nameOf`, `titleOf`: undefined for who or what is not known any more, or not to the person. */
export function sentenceOf({ k, by, d }: RoomEvent, nameOf: Lookup, titleOf: Lookup): string {
  const say = admin.audit
  const who = by === null ? say.operator : (nameOf(by) ?? say.somebody)
  const of = typeof d.of === 'string' ? d.of : null
  const whose = (of && nameOf(of)) ?? say.somebodyToo
  const agent = (of && nameOf(of)) ?? say.anAgent
  const own = of === by
  const room = (typeof d.room === 'string' && titleOf(d.room)) || say.aChat
  const to = d.room === undefined ? say.thisServer : room
  const role = say.roles[d.role as keyof typeof say.roles]
  const status = say.statuses[d.status as keyof typeof say.statuses]
  const sentences: Record<string, string | undefined> = {
    'room.created': say.first,
    'session.began': own ? say.began(who) : say.sessionBegan(who, whose),
    'session.ended': own ? say.ended(who) : say.sessionEnded(who, whose),
    'key.created': own ? say.keyCreated(who) : say.keyCreatedFor(who, whose),
    'key.revoked': own ? say.keyRevoked(who) : say.keyRevokedOf(who, whose),
    'invite.created': say.inviteCreated(who, to),
    'invite.used': say.inviteUsed(who, to),
    'invite.revoked': say.inviteRevoked(who, to),
    'account.created': own ? (d.role === 'owner' ? say.becameOwner : say.signedUp)(who) : say.accountCreated(who, whose),
    'account.status': own && d.status === 'deleted' ? say.leftForGood : status?.(who, whose),
    'account.role': role?.(who, whose),
    'account.claimed': say.claimed(whose),
    'admin.joined': say.adminJoined(who, room),
    'identity.unlinked': say.unlinked(who),
    'profile.saved': say.profileSaved(who, Boolean(d.server)),
    'profile.deleted': say.profileDeleted(who, Boolean(d.server)),
    'webhook.saved': say.webhookSaved(who),
    'webhook.ended': say.webhookEnded(whose, String(d.why)),
    'webhook.deleted': say.webhookDeleted(who),
    'signin.failed': say.signInFailed(of ? whose : say.nobodyKnown, Number(d.count)),
    'identity.linked': say.linked(whose),
    'password.reset': say.passwordReset(who, whose),
    'agent.saved': (d.version === 1 ? say.agentMade : say.agentSaved)(who, agent),
    'agent.shared': (d.archived === true ? say.agentArchived : say.agentShared)(who, agent),
    'budget.set': (d.tokens === null && d.cost_micros === null ? say.budgetRemoved : say.budgetSet)(who, of ? whose : say.thisServer),
    'password.changed': say.passwordChanged(own ? who : whose),
  }
  return sentences[k] ?? say.other(who)
}
