import { expect, test } from 'vitest'
import { actOf } from './calls'
import { message } from '../../testing'

const act = (tool: string, given: unknown): ReturnType<typeof actOf> =>
  actOf(message(1, { role: 'assistant', kind: 'tool_call', text: typeof given === 'string' ? given : JSON.stringify(given), meta: { tool, call_id: 'c' } }))

test.each([
  ['exec_command', { cmd: 'ls -la' }, 'ls -la'],
  ['shell', { command: ['bash', '-lc', 'pytest -q'] }, 'pytest -q'],
  ['shell', { command: ['rm', 'a b', "it's"] }, "rm 'a b' 'it'\\''s'"],
  ['local_shell', { action: 1, command: { command: ['ls'] } }, 'ls'],
  ['Bash', { command: ' git status ', description: 'See' }, 'git status'],
  ['mcp__box__execute_command', { command: 'make' }, 'make'],
  ['exec', 'print(1)', 'print(1)'],
])('%s runs a command', (tool, given, command) => {
  expect(act(tool, given)).toEqual({ kind: 'command', command })
})

const patch = '*** Begin Patch\n*** Update File: a\n@@\n-x\n+y\n*** End Patch'

test.each([
  ['apply_patch', patch],
  ['apply_patch', { input: patch }],
  ['shell', { command: ['bash', '-lc', `apply_patch <<'EOF'\n${patch}\nEOF`] }],
  ['Edit', { file_path: 'a', old_string: 'x', new_string: 'y', replace_all: false }],
  ['MultiEdit', { file_path: 'a', edits: [{ old_string: 'x', new_string: 'y' }] }],
  ['edit', { filePath: 'a', oldString: 'x', newString: 'y' }],
  ['str_replace_based_edit_tool', { command: 'str_replace', path: 'a', old_str: 'x', new_str: 'y' }],
  ['replace_in_file', { path: 'a', diff: '<<<<<<< SEARCH\nx\n=======\ny\n>>>>>>> REPLACE' }],
])('%s changes a file', (tool, given) => {
  expect(act(tool, given)).toMatchObject({ kind: 'edit', changes: [{ path: 'a', what: 'edited', added: 1, removed: 1 }] })
})

test('a file that is written anew is created', () => {
  expect(act('Write', { file_path: 'a', content: 'x\n' })).toMatchObject({ kind: 'edit', changes: [{ what: 'created', added: 1 }] })
})

test('looks, agents and what is not known', () => {
  expect(act('Read', { file_path: '/a/b.py', limit: 5 })).toEqual({ kind: 'look', what: '/a/b.py' })
  expect(act('Grep', { pattern: 'x', path: 'src' })).toEqual({ kind: 'look', what: 'x in src' })
  expect(act('Task', { description: 'Review it', subagent_type: 'reviewer', prompt: 'Look.' })).toEqual({ kind: 'child', name: 'Review it', task: 'Look.' })
  expect(act('get_weather', { city: 'Oslo' })).toEqual({ kind: 'tool', name: 'get_weather', line: 'city: "Oslo"' })
})

test('a call whose arguments are cut or strange is shown as it is', () => {
  expect(act('Edit', '{"file_path": "a", "old_s')).toMatchObject({ kind: 'tool', name: 'Edit' })
  expect(act('Bash', '{"command": 7}')).toMatchObject({ kind: 'tool', name: 'Bash' })
  expect(act('apply_patch', 'no patch')).toMatchObject({ kind: 'tool', line: 'no patch' })
  expect(act('str_replace_based_edit_tool', { command: 'view', path: 'a' })).toMatchObject({ kind: 'tool' })
  expect(act('', '[1')).toMatchObject({ kind: 'tool', name: '' })
})
