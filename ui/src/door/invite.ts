/**
 * Starts the small page that an invitation opens.
 *
 * invite-words, invite-name, invite-handle, invite-password, invite-join, invite-have, invite-stay
 */
import Invite from './Invite.svelte'
import { invited } from '../lib/texts-door'
import { open } from './open'

open(Invite, invited.title, {})
