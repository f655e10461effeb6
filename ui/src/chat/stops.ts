/** What can be stopped where several answer, or wait to. Fetched when it is used. */
import type { RoomLog } from '../lib/room/room'
import type { Stream } from '../lib/room/stream'
import { texts } from '../lib/texts'
import { later } from '../lib/texts-later'
import { modelName } from '../lib/words/models'
import { isolated } from '../lib/words/isolated'
import type { MenuItem, PageState } from '../page.svelte'
import { waitingIn } from './waiting'

/** Stops the only answer at once; asks which, where there are several, or one waits that would begin. */
export function stop(page: PageState, log: RoomLog, streams: readonly Stream[], by: HTMLElement): void {
  const { id } = log
  const end = ({ turn }: Stream): void => void page.session.stop(turn).catch(page.report)
  const [first, ...others] = streams
  if (first && others.length === 0 && waitingIn(log, page.session.rooms.get(id), page.session.me?.id).length === 0) {
    end(first)
    return
  }
  const stopAll = (): void => void page.session.connection.request({ t: 'stop_room', room: id }).catch(page.report)
  const each = streams.map((one): MenuItem => ({
    name: isolated(one.model ? modelName(one.model) : one.name), icon: 'stop', testid: `stop-${one.msg}`, run: () => end(one),
  }))
  void page.openMenu(by, texts.composer.stopShort, [{ name: later.company.stopAll, icon: 'stop', testid: 'stop-all', run: stopAll }, ...each])
}
