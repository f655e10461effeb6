/**
 * What a screen reader is told of the messages of others: each finished one, once and not while it is written; where they
 * come faster than can be heard, how many.
 */
import { texts } from '../texts'

const CHARS_MAX = 300
const EVERY_MS = 3000

export class Announcer {
  #say: (text: string) => void
  #waiting: string[] = []
  #timer: ReturnType<typeof setTimeout> | undefined

  constructor(say: (text: string) => void) {
    this.#say = say
  }

  /** `name`: who says it; null for what happened. */
  add(name: string | null, text: string): void {
    this.#waiting.push(name === null ? text : `${name}: ${text.slice(0, CHARS_MAX)}`)
    if (this.#timer === undefined) this.#next()
  }

  end(): void {
    clearTimeout(this.#timer)
  }

  #next(): void {
    const [first] = this.#waiting
    this.#timer = first === undefined ? undefined : setTimeout(() => this.#next(), EVERY_MS)
    if (first !== undefined) this.#say(this.#waiting.length === 1 ? first : texts.messages.unseen(this.#waiting.length))
    this.#waiting = []
  }
}
