/**
 * Opens a small page that a link with a secret leads to. It speaks REST only.
 *
 * The secret stands behind the `#`, which browsers send to nobody; it is taken out of the address, and so
 * out of the history, before anything else happens.
 */
import { mount, type Component } from 'svelte'
import { Api } from '../lib/server/api'

export function open(page: Component<{ api: Api; token: string }>, title: string): void {
  const token = location.hash.slice(1)
  history.replaceState(null, '', location.pathname)

  const target = document.getElementById('app')
  document.title = title
  if (target) {
    target.replaceChildren()
    mount(page, { target, props: { api: new Api(), token } })
  }
}
