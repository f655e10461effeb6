/** What can be stopped where several answer, or wait to. Made when it is opened. */
import type { Stream } from '../lib/room/stream'
import { later } from '../lib/texts-later'
import { modelName } from '../lib/words/models'
import { isolated } from '../lib/words/isolated'
import type { MenuItem, PageState } from '../page.svelte'

export function stopMenu(page: PageState, room: string, streams: readonly Stream[]): MenuItem[] {
  const stopAll = (): void => void page.session.connection.request({ t: 'stop_room', room }).catch(page.report)
  const each = streams.map(({ turn, name, msg, model }): MenuItem => ({
    name: isolated(model ? modelName(model) : name), icon: 'stop', testid: `stop-${msg}`, run: () => void page.session.stop(turn).catch(page.report),
  }))
  return [{ name: later.company.stopAll, icon: 'stop', testid: 'stop-all', run: stopAll }, ...each]
}
