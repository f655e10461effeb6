/**
 * Starts the small page at `/sign-in`, `/sign-up` and `/reset`.
 *
 * sign-words, sign-handle, sign-password, sign-enter, sign-anyway, sign-in, sign-up, sign-stay
 */
import Sign from './Sign.svelte'
import { signing } from '../lib/texts'
import { open } from './open'

const WAYS = ['up', 'reset'] as const
const way = WAYS.find((one) => location.pathname.endsWith(one)) ?? 'in'

open(Sign, signing.page(way), { way } as const)
