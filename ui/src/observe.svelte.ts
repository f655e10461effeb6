/**
 * The bridge between the parts in lib/, which tell by an Emitter that they changed, and Svelte, which
 * runs again what read `current`.
 */
import { createSubscriber } from 'svelte/reactivity'
import type { Emitter } from './lib/emitter'

export interface Observed<T> {
  readonly current: T
}

export function observed<T extends { readonly changed: Emitter }>(source: T): Observed<T> {
  const subscribe = createSubscriber((update) => source.changed.subscribe(update))
  return {
    get current() {
      subscribe()
      return source
    },
  }
}
