/**
 * Starts the small page that a link to another device opens.
 *
 * device-words, device-add, device-stay
 */
import Device from './Device.svelte'
import { door } from '../lib/texts'
import { open } from './open'

open(Device, door.title, {})
