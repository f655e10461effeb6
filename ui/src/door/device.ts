/**
 * Starts the small page that a link to another device opens. It speaks REST only.
 *
 * The secret stands behind the `#`, which browsers send to nobody; it is taken out of the address, and so
 * out of the history, before anything else happens.
 *
 * device-words, device-add, device-stay
 */
import { mount } from 'svelte'
import Device from './Device.svelte'
import { Api } from '../lib/server/api'
import { door } from '../lib/texts'

const token = location.hash.slice(1)
history.replaceState(null, '', location.pathname)

const target = document.getElementById('app')
document.title = door.title
if (target) {
  target.replaceChildren()
  mount(Device, { target, props: { api: new Api(), token } })
}
