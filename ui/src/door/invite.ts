/**
 * Starts the small page that an invitation opens.
 *
 * invite-words, invite-name, invite-join, invite-stay
 */
import Invite from './Invite.svelte'
import { invited } from '../lib/texts'
import { open } from './open'

open(Invite, invited.title, {})
