/**
 * Starts the small page at `/sign-in`, `/sign-up`, `/reset` and `/setup`.
 *
 * sign-words, sign-name, sign-handle, sign-password, sign-enter, sign-bring, sign-anyway, sign-refused, sign-elsewhere, sign-in, sign-up, sign-stay
 */
import Sign from './Sign.svelte'
import { signing } from '../lib/texts'
import { open } from './open'

const WAYS = { '/sign-up': 'up', '/reset': 'reset', '/setup': 'setup' } as const
const path = (Object.keys(WAYS) as (keyof typeof WAYS)[]).find((one) => location.pathname.endsWith(one))
const way = path ? WAYS[path] : 'in'

open(Sign, signing.page(way), { way } as const)
