/**
 * What stands in a room beside what is said: prompts, calls of tools and their results, thoughts, unknown items.
 *
 * Each is one quiet line that opens (lib/run/story.ts says what is in it). A result belongs to the call above it that has
 * the same id.
 */
import type { Message } from '../protocol'

const KINDS = new Set(['tool_call', 'tool_result', 'reasoning', 'item'])
/** What programs tell the model in a person's name; with their words or without. */
const CONTEXT = 'environment_context|environment_details|system-reminder|user_instructions|user_info|ide_selection|INSTRUCTIONS|skills_instructions|turn_aborted'
const BEFORE = new RegExp(`^\\s*(?:(?:# AGENTS\\.md instructions[^\\n]*\\s*)?<(${CONTEXT})>[\\s\\S]*?</\\1>\\s*)+`, 'u')

/** Whether a message is no words of a person or an agent to somebody. */
export function isAside(message: Message): boolean {
  return KINDS.has(message.kind) || message.role === 'tool' || isPrompt(message)
}

/** Words to the model about how to answer, or about what is around. The system's own notices are none. */
export function isPrompt(message: Message): boolean {
  if (message.meta.context) return true
  if (message.role === 'user') return partedContext(message.text)?.words === '' && !message.meta.parts?.some(isSeen)
  return (message.role === 'system' || message.role === 'developer') && !message.by.startsWith('s_')
}

/** What a program put before a person's words, and the words; null where it put nothing. */
export function partedContext(text: string): { context: string; words: string } | null {
  const context = /^\s*[<#]/u.test(text) ? BEFORE.exec(text)?.[0] : undefined
  return context === undefined ? null : { context: context.trim(), words: text.slice(context.length).trim() }
}

/** The results that belong to a call among these messages: by the call's message id. */
export function resultsOf(messages: readonly Message[]): Map<string, Message> {
  const calls = new Map<string, string>()
  const results = new Map<string, Message>()
  for (const message of messages) {
    const id = message.meta.call_id
    if (!id || message.deleted_at !== null) continue
    if (message.kind === 'tool_call') calls.set(id, message.id)
    const call = message.kind === 'tool_result' ? calls.get(id) : undefined
    if (call && !results.has(call)) results.set(call, message)
  }
  return results
}

function isSeen(part: unknown): boolean {
  const type = part !== null && typeof part === 'object' ? (part as Record<string, unknown>).type : undefined
  return typeof type === 'string' && !/text$/u.test(type)
}
