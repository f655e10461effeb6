/** What a tool gave back: the words for a reader, and whether it failed. Programs say so in ways of their own. */
import type { Message } from '../protocol'
import { pretty } from '../words/json'

export interface Outcome {
  text: string
  json: boolean
  /** With which number a command ended, if that was told. */
  exit: number | null
  failed: boolean
}

/** Where a program says how a command ended: in one of the first lines of its own. */
const HEAD_CHARS = 400
const EXIT = /^\W*(?:the )?(?:process |command )?exit(?:ed)?(?: with)?(?:[ _]?(?:code|status))?[:=> ]+(-?\d+)/imu
/** What Codex puts before the output of a command. */
const CODEX = /^(?:Chunk ID|Wall time|Process exited|Exit code|Process running|Original token count|Total output lines)[^\n]*\n(?:[^\n]*\n){0,8}?Output:\n/u
const ERROR = /^\s*(?:<tool_use_error>|<error>|Error:|ERROR:|error: |Traceback \(most recent call last\)|apply_patch verification failed)/u

const known = new WeakMap<Message, Outcome>()

export function outcomeOf(result: Message): Outcome {
  const outcome = known.get(result) ?? read(result)
  known.set(result, outcome)
  return outcome
}

function read(result: Message): Outcome {
  const inner = wrapped(result.text)
  const text = inner?.output ?? result.text
  const head = text.slice(0, HEAD_CHARS)
  const told = CODEX.exec(text)?.[0]
  const said = EXIT.exec(told ?? head)
  const exit = inner?.exit ?? (said ? Number(said[1]) : null)
  const marked = (result.meta as { is_error?: unknown }).is_error === true
  const shown = told ? text.slice(told.length) : pretty(text)
  return {
    text: shown,
    json: !told && /^\s*[[{]/u.test(shown) && shown !== text,
    exit,
    failed: marked || (exit !== null && exit !== 0) || (exit === null && ERROR.test(head)),
  }
}

/** `{"output": "…", "metadata": {"exit_code": 0}}`, in which older programs put a command's output. */
function wrapped(text: string): { output: string; exit: number | null } | null {
  if (!text.startsWith('{')) return null
  try {
    const { output, metadata, exit_code: own } = JSON.parse(text) as Record<string, unknown>
    if (typeof output !== 'string') return null
    const exit = metadata !== null && typeof metadata === 'object' ? (metadata as Record<string, unknown>).exit_code : own
    return { output, exit: typeof exit === 'number' ? exit : null }
  } catch {
    return null
  }
}
