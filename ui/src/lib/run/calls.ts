/**
 * What a call of a tool does, in the words of whoever reads along: a command, a change of files, a look at something, work
 * given to another agent, or just a tool. Tools are known by their names in Codex, Claude Code, opencode, Cline and others.
 */
import type { Message } from '../protocol'
import { argumentsLine, oneLine } from '../words/json'
import { blocksOf, patchOf, replaced, written, type Change } from './patch'

export type Act =
  | { kind: 'command'; command: string }
  | { kind: 'edit'; changes: Change[] }
  | { kind: 'look'; what: string }
  | { kind: 'child'; name: string; task: string }
  | { kind: 'tool'; name: string; line: string }

const COMMANDS = names(
  'bash shell exec exec_command local_shell shell_command execute_command run_command run_terminal_cmd run_in_terminal',
  'run_shell_command terminal powershell command',
)
const PATCHES = names('apply_patch patch')
const EDITS = names(
  'edit multiedit write edit_file write_file create_file write_to_file replace_in_file replace str_replace_based_edit_tool',
  'str_replace_editor notebookedit create',
)
const LOOKS = names(
  'read grep glob ls list view read_file list_files list_directory list_dir search_files search_file_content grep_search',
  'file_search find_path view_image webfetch websearch web_fetch web_search fetch codebase_search',
)
const CHILDREN = names('agent task spawn_agent new_task subagent')
const SHELLS = /(?:^|\/)(?:ba|z|da)?sh$/u
const HEREDOC = /\bapply_patch\b[\s\S]*?(\*\*\* Begin Patch[\s\S]*?\*\*\* End Patch)/u

const known = new WeakMap<Message, Act>()

export function actOf(message: Message): Act {
  const act = known.get(message) ?? read(message.meta.tool ?? '', message.text)
  known.set(message, act)
  return act
}

function read(tool: string, text: string): Act {
  const given = object(text)
  const bare = tool.toLowerCase().split(/__|[.:/]/u).at(-1) ?? ''
  const other: Act = { kind: 'tool', name: tool, line: argumentsLine(text) }
  if (PATCHES.has(bare)) return edit(patchOf(first(given, 'input', 'patch', 'patchText', 'patch_text', 'diff') ?? text)) ?? other
  if (EDITS.has(bare)) return edit(given && changesOf(given)) ?? other
  if (COMMANDS.has(bare)) return commandOf(given, text) ?? other
  if (LOOKS.has(bare)) return { kind: 'look', what: looked(given) ?? argumentsLine(text) }
  if (CHILDREN.has(bare) && given) return childOf(given)
  if (bare === 'write_stdin' && given) return { kind: 'command', command: first(given, 'chars') || '…' }
  return other
}

function commandOf(given: Record<string, unknown> | null, text: string): Act | null {
  const said = given ? (given.command ?? given.cmd ?? given.script ?? given.input) : text
  const inner = said !== null && typeof said === 'object' && !Array.isArray(said) ? (said as Record<string, unknown>).command : said
  const command = Array.isArray(inner) ? joined(inner.map(String)) : typeof inner === 'string' ? inner : null
  if (command === null || command.trim() === '') return null
  const patch = HEREDOC.exec(command)?.[1]
  return (patch === undefined ? null : edit(patchOf(patch))) ?? { kind: 'command', command: command.trim() }
}

/** `["bash", "-lc", "ls"]` is `ls`. */
function joined(words: string[]): string {
  if (words.length === 3 && SHELLS.test(words[0] ?? '') && /^-\w*c$/u.test(words[1] ?? '')) return words[2] ?? ''
  return words.map((word) => (/^[\w@%+=:,./-]+$/u.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`)).join(' ')
}

function edit(changes: Change[] | null): Act | null {
  return changes && changes.length > 0 ? { kind: 'edit', changes } : null
}

function changesOf(given: Record<string, unknown>): Change[] | null {
  const path = pathOf(given)
  if (path === null) return null
  const whole = first(given, 'content', 'file_text', 'new_source')
  const diff = first(given, 'diff')
  if (diff !== null) {
    const change = blocksOf(path, diff)
    return change ? [change] : patchOf(diff)
  }
  if (Array.isArray(given.edits)) {
    const pairs = given.edits.flatMap((one: unknown) => (one !== null && typeof one === 'object' ? (pair(one) ?? []) : []))
    return pairs.length > 0 ? [replaced(path, pairs)] : null
  }
  const found = pair(given)
  if (found) return [replaced(path, found)]
  if (given.command === 'view') return null
  return whole === null ? null : [written(path, whole)]
}

function pair(given: object): [string, string][] | null {
  const one = given as Record<string, unknown>
  const before = first(one, 'old_string', 'oldString', 'old_str', 'oldText', 'old_text', 'search')
  const after = first(one, 'new_string', 'newString', 'new_str', 'newText', 'new_text', 'replace')
  return before === null && after === null ? null : [[before ?? '', after ?? '']]
}

function childOf(given: Record<string, unknown>): Act {
  const task = first(given, 'prompt', 'message', 'task', 'instructions', 'items') ?? ''
  const name = first(given, 'description', 'subagent_type', 'agent_type', 'agent', 'name') ?? oneLine(task)
  return { kind: 'child', name, task }
}

/** What was looked at: a file, a folder, a pattern in a place. */
function looked(given: Record<string, unknown> | null): string | null {
  if (!given) return null
  const [path, pattern] = [pathOf(given), first(given, 'pattern', 'query', 'regex', 'url')]
  return [pattern, path].filter(Boolean).join(' in ') || null
}

function pathOf(given: Record<string, unknown>): string | null {
  return first(given, 'file_path', 'filePath', 'path', 'target_file', 'notebook_path', 'filename', 'file', 'dir_path')
}

function first(given: Record<string, unknown> | null, ...keys: string[]): string | null {
  for (const key of keys) if (typeof given?.[key] === 'string') return given[key]
  return null
}

function object(text: string): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(text)
    return value !== null && typeof value === 'object' && !Array.isArray(value) ? (value as Record<string, unknown>) : null
  } catch {
    return null
  }
}

function names(...lines: string[]): Set<string> {
  return new Set(lines.flatMap((line) => line.split(' ')))
}
