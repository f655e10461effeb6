/**
 * The messages of a room as they are seen: each by itself, a call of a tool with its result, and an agent's run, which is
 * all that it did for one answer. A run is one thing in the list, however long it is.
 */
import type { Message } from '../protocol'
import { isAside, isPrompt, resultsOf } from './asides'

interface Placed {
  /** The places of its first and its last message. */
  seq: number
  last: number
}

export type Unit = Placed & (
  | { kind: 'one'; message: Message; result: Message | undefined }
  | { kind: 'run'; key: string; steps: readonly Message[]; results: ReadonlyMap<string, Message> }
)
export type RunUnit = Extract<Unit, { kind: 'run' }>

/** The keys of runs by the ids of their first and last messages: a run that grows at either end keeps its key. */
export type Keys = Map<string, string>

/** So many asides after each other are a run. */
export const RUN_MIN = 3

/** `keys` is what was given the last time; what it is this time takes its place. */
export function unitsOf(messages: readonly Message[], keys: Keys): Unit[] {
  const results = resultsOf(messages)
  const taken = new Set(results.values())
  const units: Unit[] = []
  const now: Keys = new Map()
  let open: Message[] = []
  const end = (): void => {
    const last = open.filter(isAside).length < RUN_MIN ? -1 : open.findLastIndex(isAside)
    if (last >= 0) units.push(runOf(open.slice(0, last + 1), results, keys, now))
    for (const message of open.slice(last + 1)) {
      const result = results.get(message.id)
      units.push({ kind: 'one', message, result, seq: message.seq, last: result?.seq ?? message.seq })
    }
    open = []
  }
  for (const message of messages) {
    if (taken.has(message)) continue
    if (!goesOn(open, message)) end()
    open.push(message)
  }
  end()
  keys.clear()
  for (const [id, key] of now) keys.set(id, key)
  return units
}

function runOf(steps: Message[], results: ReadonlyMap<string, Message>, keys: Keys, now: Keys): RunUnit {
  const [first, last] = [steps[0]!, steps.at(-1)!]
  const key = keys.get(first.id) ?? keys.get(last.id) ?? `run-${first.id}`
  now.set(first.id, key).set(last.id, key)
  return { kind: 'run', key, steps, results, seq: first.seq, last: results.get(last.id)?.seq ?? last.seq }
}

/** Prompts after prompts; what an agent and its tools say until somebody else speaks. */
function goesOn(open: readonly Message[], message: Message): boolean {
  const before = open.at(-1)
  if (!before) return true
  const ofAgent = open.find((one) => one.role === 'assistant')
  if (isPrompt(message)) return isAside(before)
  if (message.role === 'tool') return open.some((one) => !isPrompt(one))
  return message.role === 'assistant' && ofAgent?.by === message.by && !message.meta.choice
}
