/** The types of the events of chats, as the protocol names them. */
export const KINDS = [
  'message.created', 'message.edited', 'message.deleted', 'message.restored', 'message.pinned', 'message.unpinned', 'reaction.added', 'reaction.removed', 'branch.created', 'branch.named', 'branch.main', 'branch.deleted', 'branch.restored', 'turn.refused', 'room.created', 'room.renamed', 'room.deleted', 'room.restored', 'room.cleared', 'room.uncleared',
  'room.archived', 'room.unarchived', 'room.transferred', 'room.visibility', 'room.moved', 'room.settings', 'member.joined', 'member.renamed',
  'member.left', 'member.removed', 'member.role', 'member.speaks', 'member.settings',
] as const
