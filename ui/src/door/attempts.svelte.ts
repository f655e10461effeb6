/** What a small page asks of the server: one thing at a time, why it failed, and whether it may be asked again. */
import { Problem, problemText } from '../lib/server/errors'
import '../lib/texts-refusals'

export class Attempts {
  busy = $state(false)
  problem: string | null = $state(null)
  code: string | null = $state(null)
  /** The same may work in a moment. */
  again = $state(false)
  /** What was asked for is not there. */
  gone = $state(false)
  #tries = 0

  /** What was asked before and answers late changes nothing any more. */
  async run(work: () => Promise<void>): Promise<void> {
    this.busy = true
    this.problem = this.code = null
    const own = ++this.#tries
    try {
      await work()
    } catch (error) {
      if (own !== this.#tries) return
      this.problem = problemText(error)
      this.code = error instanceof Problem ? error.code : null
      this.again = error instanceof Problem && error.temporary
      this.gone = error instanceof Problem && error.status === 404
    }
    this.busy = false
  }
}
