/** The menu of models of a chat, by who offers them; and what else is set of it. */
import type { Model } from '../../lib/protocol'
import { model as say } from '../../lib/texts-chat'
import { isolated } from '../../lib/words/isolated'
import { modelName } from '../../lib/words/models'
import type { MenuItem, PageState } from '../../page.svelte'

export const FIND = { label: say.find, nothing: say.nothing }

interface Chosen {
  models: readonly Model[]
  /** The one that answers, by the name under which it is kept. */
  key: string | undefined
  /** Two are asked with the next message. */
  two: boolean
  onpick: (model: Model) => void
  onask: (models: string[] | undefined) => void
}

export function openModels(page: PageState, anchor: HTMLElement, chosen: Chosen): void {
  const { models, key, two, onpick, onask } = chosen
  const more: MenuItem[] = []
  const add = (name: string, icon: MenuItem['icon'], testid: string, run: () => void): void => void more.push({ name, icon, testid, run })
  if (two) add(say.one, 'bubble', 'model-one', () => onask(undefined))
  else if (models.length > 1 && key !== undefined) add(say.two, 'copy', 'model-two', () => openSecond(page, anchor, chosen, key))
  if (page.session.own?.connects) add(say.connect, 'plus', 'model-connect', () => page.settings('models'))
  add(say.settings, 'gear', 'model-settings', () => page.openPanel('chat'))
  void page.openMenu(anchor, say.name, [...choices(models, onpick, two ? undefined : key), ...more], FIND)
}

/** Which one answers beside the one that does. */
function openSecond(page: PageState, anchor: HTMLElement, chosen: Chosen, key: string): void {
  const { models, onask } = chosen
  const others = models.filter((one) => one.key !== key)
  const back: MenuItem = { name: say.back, icon: 'back', testid: 'model-back', run: () => openModels(page, anchor, chosen) }
  const items = choices(others, (model) => onask([key, model.key]), undefined)
  void page.openMenu(anchor, say.beside(isolated(modelName(key, models))), [...items, back], FIND)
}

export function choices(models: readonly Model[], run: (model: Model) => void, key: string | undefined): MenuItem[] {
  const alone = new Set(models.map(({ provider }) => provider)).size === 1 && models[0]?.provider === models[0]?.id
  return models.map((model) => ({
    name: model.id, icon: 'check', testid: 'model-choice', group: alone ? '' : model.provider, chosen: model.key === key, run: () => run(model),
  }))
}
