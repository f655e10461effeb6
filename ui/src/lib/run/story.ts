/**
 * A run of an agent as a story: one step after the other, and all of them in one line.
 *
 * What a call and a result mean is read once for each (`actOf`, `outcomeOf`), so that a run that grows costs little.
 */
import type { Message } from '../protocol'
import { later } from '../texts-later'
import { oneLine, sizeOf } from '../words/json'
import { actOf, type Act } from './calls'
import type { Change } from './patch'
import { outcomeOf, type Outcome } from './results'

const SHOWN_FIRST = 20_000
const SHOWN_LAST = 10_000
const TITLE_CHARS = 40

export type Step = {
  key: string
  seq: number
  message: Message
} & (
  | { kind: 'thought' | 'said' | 'summary'; text: string }
  | { kind: 'call'; act: Act; result: Message | undefined; outcome: Outcome | null }
  | { kind: 'prompt' | 'result' | 'item' }
)

export interface Run {
  steps: readonly Message[]
  results: ReadonlyMap<string, Message>
}

export function stepsOf({ steps, results }: Run): Step[] {
  return steps.flatMap((message): Step[] => {
    const { id, seq, kind, meta, text } = message
    const made: Step[] = []
    if (meta.reasoning) made.push({ key: `${id}-thought`, seq, message, kind: 'thought', text: meta.reasoning })
    if (kind === 'tool_call') made.push(callOf(message, results.get(id)))
    else if (kind === 'tool_result' || message.role === 'tool') made.push({ key: id, seq, message, kind: 'result' })
    else if (itemType(meta.item) === 'compaction') made.push({ key: id, seq, message, kind: 'summary', text })
    else if (kind === 'item') made.push({ key: id, seq, message, kind: 'item' })
    else if (message.role !== 'assistant') made.push({ key: id, seq, message, kind: 'prompt' })
    else if (text.trim() !== '' || message.status !== 'done') {
      made.push({ key: id, seq, message, kind: kind === 'reasoning' ? 'thought' : 'said', text })
    }
    return made
  })
}

export function callOf(message: Message, result: Message | undefined): Extract<Step, { kind: 'call' }> {
  const outcome = result ? outcomeOf(result) : null
  return { key: message.id, seq: message.seq, message, kind: 'call', act: actOf(message), result, outcome }
}

/** The number with which a command ended. */
export function exitOf(step: Step): number | null {
  return step.kind === 'call' && step.act.kind === 'command' ? (step.outcome?.exit ?? null) : null
}

export function failed(step: Step): boolean {
  if (step.kind === 'said') return step.message.status === 'failed'
  if (step.kind !== 'call' || !step.outcome) return false
  // A file that was looked at may begin with such words.
  return step.act.kind === 'look' ? step.outcome.failed && step.outcome.exit === null && step.outcome.text.length < 400 : step.outcome.failed
}

/** The last call that nothing came back of yet. */
export function pendingOf(steps: readonly Step[]): Step | undefined {
  return steps.findLast((step) => step.kind === 'call' && !step.outcome)
}

export interface Figures {
  commands: number
  files: number
  added: number
  removed: number
  tools: number
  children: number
  prompts: number
  failed: number
  tokens: number
}

export function figuresOf(steps: readonly Step[]): Figures {
  const figures: Figures = { commands: 0, files: 0, added: 0, removed: 0, tools: 0, children: 0, prompts: 0, failed: 0, tokens: 0 }
  const files = new Set<string>()
  let last: Message | undefined
  for (const step of steps) {
    if (step.message !== last) figures.tokens += tokensOf(step.message)
    last = step.message
    if (failed(step)) figures.failed += 1
    if (step.kind === 'prompt') figures.prompts += 1
    if (step.kind === 'item' || step.kind === 'result') figures.tools += 1
    if (step.kind !== 'call') continue
    if (step.act.kind === 'command') figures.commands += 1
    else if (step.act.kind === 'child') figures.children += 1
    else if (step.act.kind !== 'edit') figures.tools += 1
    else if (!failed(step)) {
      for (const change of step.act.changes) {
        files.add(change.to ?? change.path)
        figures.added += change.added
        figures.removed += change.removed
      }
    }
  }
  return { ...figures, files: files.size }
}

export function tokensOf(message: Message): number {
  const { input = 0, output = 0 } = message.meta.usage ?? {}
  return input + output
}

/** What was done, in the order in which it matters; lines of changes stand apart, since they have colours. */
export function countsOf(figures: Figures): string[] {
  const say = later.run
  const counts: [number, (count: number) => string][] = [
    [figures.commands, say.commands], [figures.tools, say.tools], [figures.children, say.children], [figures.prompts, say.prompts],
  ]
  return counts.flatMap(([count, words]) => (count > 0 ? [words(count)] : []))
}

/** A length of time as one would say it. */
export function spanOf(ms: number): string {
  const say = later.run
  const seconds = Math.max(1, Math.round(ms / 1000))
  if (seconds < 60) return say.seconds(seconds)
  const minutes = Math.round(seconds / 60)
  return minutes < 60 ? say.minutes(minutes) : say.hours(Math.floor(minutes / 60), minutes % 60)
}

/** 950, 48k, 1.2M. */
export function short(count: number): string {
  if (count < 1000) return String(count)
  const [value, unit] = count < 999_500 ? [count / 1000, 'k'] : [count / 1_000_000, 'M']
  return `${value < 10 ? value.toFixed(1).replace(/\.0$/u, '') : Math.round(value)}${unit}`
}

/** What one step is, in a line: its word, and what it was about. */
export interface Headline {
  word: string
  main: string
  /** Whether `main` is out of a program. */
  code: boolean
  /** Of a change: its lines. */
  change: { added: number; removed: number } | null
}

export function headlineOf(step: Step): Headline {
  const say = later.run
  const line = (word: string, main: string, code = false): Headline => ({ word, main, code, change: null })
  switch (step.kind) {
    case 'thought':
      return line(say.thought, oneLine(bare(step.text)))
    case 'said':
      return line(say.said, oneLine(bare(step.text)))
    case 'summary':
      return line(say.summary, say.shortened)
    case 'prompt': {
      const { role } = step.message
      return line(role === 'developer' ? later.aside.developer : role === 'system' ? later.aside.system : later.aside.context, oneLine(step.message.text))
    }
    case 'result':
      return line(later.aside.result, oneLine(step.message.text), true)
    case 'item':
      return line(later.aside.item, itemType(step.message.meta.item) ?? '', true)
    case 'call':
      return ofAct(step.act)
  }
}

function ofAct(act: Act): Headline {
  const say = later.run
  switch (act.kind) {
    case 'command':
      return { word: '$', main: oneLine(act.command), code: true, change: null }
    case 'look':
      return { word: say.looked, main: oneLine(act.what), code: true, change: null }
    case 'child':
      return { word: say.child, main: oneLine(act.name), code: false, change: null }
    case 'tool':
      return { word: act.name || later.aside.tool, main: act.line, code: true, change: null }
    case 'edit':
      return ofChanges(act.changes)
  }
}

function ofChanges(changes: readonly Change[]): Headline {
  const say = later.run
  const first = changes[0]
  const word = changes.every(({ what }) => what === first?.what) ? say[first?.what ?? 'edited'] : say.edited
  const main = changes.length > 1 ? say.filesAnd(pathsOf(first), changes.length - 1) : pathsOf(first)
  const sum = (of: 'added' | 'removed'): number => changes.reduce((all, change) => all + change[of], 0)
  return { word, main, code: true, change: { added: sum('added'), removed: sum('removed') } }
}

export function pathsOf(change: Change | undefined): string {
  return change?.to ? later.run.moved(change.path, change.to) : (change?.path ?? '')
}

export function sizeWords(outcome: Outcome): string {
  return outcome.text.trim() === '' ? later.run.nothing : sizeOf(outcome.text)
}

/** Words without the marks of Markdown that mean nothing in a line. */
function bare(text: string): string {
  return text.slice(0, 1000).replace(/\*\*|`|^#+ /gmu, '')
}

function itemType(item: unknown): string | undefined {
  const type = item !== null && typeof item === 'object' ? (item as Record<string, unknown>).type : undefined
  return typeof type === 'string' ? type : undefined
}

/** Whether a chat is the one to which a task was given: it is called by the task's first words. */
export function isAbout(title: string, task: string): boolean {
  const words = (text: string): string => text.replace(/\s+/gu, ' ').replace(/…$/u, '').trim().slice(0, TITLE_CHARS)
  return words(title) !== '' && words(task).startsWith(words(title))
}

/** What is shown of a long text: its beginning and its end. */
export function clipped(text: string): string {
  if (text.length <= SHOWN_FIRST + SHOWN_LAST) return text
  const left = text.slice(SHOWN_FIRST, -SHOWN_LAST)
  return `${text.slice(0, SHOWN_FIRST)}\n${later.run.leftOut(sizeOf(left))}\n${text.slice(-SHOWN_LAST)}`
}
