/**
 * Opens a small page that a link with a secret leads to. It speaks REST only.
 *
 * The secret stands behind the `#`, which browsers send to nobody; it is taken out of the address, and so
 * out of the history, before anything else happens.
 */
import { mount, type Component } from 'svelte'
import { Calls } from '../lib/server/calls'

interface Given {
  calls: Calls
  token: string
}

export function open<T extends object>(page: Component<Given & T>, title: string, more: T): void {
  const token = location.hash.slice(1)
  history.replaceState(null, '', location.pathname)

  const target = document.getElementById('app')
  document.title = title
  if (target) {
    target.replaceChildren()
    mount(page, { target, props: { calls: new Calls(), token, ...more } })
  }
}
