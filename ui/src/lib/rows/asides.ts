/**
 * What stands in a room beside what is said: prompts, calls of tools and their results, thoughts, unknown items.
 *
 * Each is one quiet line that opens. A result belongs to the call above it that has the same id.
 */
import { argumentsLine, oneLine, pretty } from '../words/json'
import type { Message } from '../protocol'
import { texts } from '../texts'

export interface Aside {
  icon: 'prompt' | 'tool' | 'result' | 'item'
  label: string
  /** Whether the label is a name out of a program. */
  code: boolean
  preview: string
  sections: { title: string | null; text: string; language: 'json' | null }[]
  /** Of a call: whether its result is here. */
  answered: boolean | null
}

const KINDS = new Set(['tool_call', 'tool_result', 'reasoning', 'item'])

/** Whether a message is no words of a person or an agent to somebody. */
export function isAside(message: Message): boolean {
  return KINDS.has(message.kind) || message.role === 'tool' || isPrompt(message)
}

/** Words to the model about how to answer. The system's own notices are none. */
export function isPrompt(message: Message): boolean {
  return (message.role === 'system' || message.role === 'developer') && !message.by.startsWith('s_')
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

export function asideOf(message: Message, result: Message | undefined): Aside {
  const { meta, text } = message
  switch (message.kind) {
    case 'tool_call': {
      const sections = [{ title: texts.aside.arguments, ...content(text) }]
      if (result) sections.push({ title: texts.aside.result, ...content(result.text) })
      return {
        icon: 'tool', label: meta.tool ?? texts.aside.tool, code: meta.tool !== undefined, preview: argumentsLine(text), sections,
        answered: result !== undefined,
      }
    }
    case 'tool_result':
      return aside('result', texts.aside.result, oneLine(text), content(text), meta.tool)
    case 'item': {
      const type = itemType(meta.item)
      return aside('item', texts.aside.item, '', content(JSON.stringify(meta.item ?? null)), type)
    }
    default: {
      const { result, developer, system } = texts.aside
      const label = message.role === 'tool' ? result : message.role === 'developer' ? developer : system
      return aside(message.role === 'tool' ? 'result' : 'prompt', label, oneLine(text), { text, language: null })
    }
  }
}

function aside(
  icon: Aside['icon'], label: string, preview: string, section: Omit<Aside['sections'][0], 'title'>, name?: string,
): Aside {
  return {
    icon, label: name ?? label, code: name !== undefined, preview, sections: [{ title: null, ...section }], answered: null,
  }
}

function content(text: string): { text: string; language: 'json' | null } {
  const shown = pretty(text)
  return { text: shown, language: /^\s*[[{]/u.test(shown) ? 'json' : null }
}

function itemType(item: unknown): string | undefined {
  const type = item !== null && typeof item === 'object' ? (item as Record<string, unknown>).type : undefined
  return typeof type === 'string' ? type : undefined
}
