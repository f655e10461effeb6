/**
 * One answer while it is being written.
 *
 * Deltas arrive faster than a screen is drawn; listeners hear of them once per frame.
 */
import { Emitter } from '../emitter'
import type { StreamState } from '../protocol'

const onNextFrame = (task: () => void): void => {
  requestAnimationFrame(task)
}

export class Stream {
  readonly msg: string
  readonly turn: string
  readonly by: string
  readonly name: string
  readonly after: number
  readonly model: string | undefined
  readonly choice: number | undefined
  /** To which it belongs. */
  readonly branch: number
  readonly at = new Date().toISOString()
  readonly changed = new Emitter()
  text: string
  reasoning: string
  /** No program has taken it up yet that is to give it: the first piece, which may have no words, says that one has. */
  waits: boolean
  #n: number
  #told = false
  #schedule: (task: () => void) => void

  constructor(state: StreamState, schedule = onNextFrame) {
    this.msg = state.msg
    this.turn = state.turn
    this.by = state.by
    this.name = state.name
    this.after = state.after
    this.model = state.model
    this.choice = state.choice
    this.branch = state.branch ?? 0
    this.text = state.text
    this.reasoning = state.reasoning
    this.waits = state.waits ?? false
    this.#n = state.n
    this.#schedule = schedule
  }

  /** A repeated delta is dropped: `n` only rises. */
  append(n: number, text: string, reasoning: string): void {
    if (n <= this.#n) return
    this.#n = n
    this.waits = false
    this.text += text
    this.reasoning += reasoning
    if (this.#told) return
    this.#told = true
    this.#schedule(() => {
      this.#told = false
      this.changed.emit()
    })
  }

  /** What a new subscription says is true, whatever was shown. */
  replace(state: StreamState): void {
    this.#n = state.n
    this.text = state.text
    this.reasoning = state.reasoning
    this.waits = state.waits ?? false
    this.changed.emit()
  }
}
