/**
 * Changes of files as the tools of coding agents tell them: patches in the form of `apply_patch`, unified diffs, blocks of
 * SEARCH and REPLACE, and an old text with its new one. Each becomes lines that were taken out, put in or left.
 */

export interface Line {
  sign: ' ' | '+' | '-'
  text: string
}

export interface Hunk {
  /** Where it is in the file, in the words of the patch. */
  head: string
  lines: Line[]
}

export interface Change {
  path: string
  /** Where the file went. */
  to: string | null
  what: 'edited' | 'created' | 'deleted'
  hunks: Hunk[]
  added: number
  removed: number
}

/** The longest texts that are compared line by line, in lines of the one times lines of the other. */
const COMPARED_MAX = 160_000
const ABOUT = 3

/** What a text changes, if it is a patch; null if it is none. */
export function patchOf(text: string): Change[] | null {
  const changes = /^\*\*\* (?:Begin Patch|(?:Add|Update|Delete) File: )/mu.test(text) ? envelope(text) : unified(text)
  return changes.length > 0 ? changes : null
}

/** A file that has this text now. */
export function written(path: string, text: string): Change {
  return made(path, 'created', [{ head: '', lines: linesOf(text).map((line) => ({ sign: '+', text: line })) }])
}

/** A file in which old texts became new ones. */
export function replaced(path: string, pairs: readonly (readonly [string, string])[]): Change {
  return made(path, 'edited', pairs.map(([before, after]) => ({ head: '', lines: compared(linesOf(before), linesOf(after)) })))
}

/** Blocks of SEARCH and REPLACE; null where there are none. */
export function blocksOf(path: string, text: string): Change | null {
  const blocks = [...text.matchAll(/^[<-]{5,} ?SEARCH>?\n([\s\S]*?)^={5,}\n([\s\S]*?)^[>+]{5,} ?REPLACE>?$/gmu)]
  return blocks.length > 0 ? replaced(path, blocks.map((block) => [block[1] ?? '', block[2] ?? ''] as const)) : null
}

function envelope(text: string): Change[] {
  const changes: Change[] = []
  for (const line of text.split('\n')) {
    const head = /^\*\*\* (Add|Update|Delete) File: (.+?)\s*$/u.exec(line)
    const change = changes.at(-1)
    if (head) {
      const what = head[1] === 'Add' ? 'created' : head[1] === 'Delete' ? 'deleted' : 'edited'
      changes.push(made(head[2] ?? '', what, []))
    } else if (/^\*\*\* End Patch/u.test(line)) break
    else if (!change) continue
    else if (line.startsWith('*** Move to: ')) change.to = line.slice(13).trim()
    else if (line.startsWith('***')) continue
    else if (line.startsWith('@@')) change.hunks.push({ head: line.replace(/^@@ ?|\s*@@$/gu, ''), lines: [] })
    else take(change, line)
  }
  return changes.map(counted)
}

function unified(text: string): Change[] {
  const changes: Change[] = []
  let before = ''
  for (const line of text.split('\n')) {
    const change = changes.at(-1)
    if (line.startsWith('--- ')) before = name(line.slice(4))
    else if (line.startsWith('+++ ') && before) {
      const after = name(line.slice(4))
      const what = before === '/dev/null' ? 'created' : after === '/dev/null' ? 'deleted' : 'edited'
      changes.push({ ...made(what === 'created' ? after : before, what, []), to: what === 'edited' && after !== before ? after : null })
      before = ''
    } else if (change && line.startsWith('@@')) change.hunks.push({ head: line.replace(/^@@ ?| ?@@.*$/gu, ''), lines: [] })
    else if (change?.hunks.length && /^[ +-]/u.test(line)) take(change, line)
  }
  return changes.map(counted)
}

function name(path: string): string {
  const bare = path.replace(/\t.*$/u, '').trim()
  return bare === '/dev/null' ? bare : bare.replace(/^[ab]\//u, '')
}

function take(change: Change, line: string): void {
  if (change.hunks.length === 0) change.hunks.push({ head: '', lines: [] })
  const sign = line[0] === '+' || line[0] === '-' ? line[0] : ' '
  if (line === '' && change.hunks.at(-1)?.lines.length === 0) return
  change.hunks.at(-1)?.lines.push({ sign, text: line.slice(1) })
}

function made(path: string, what: Change['what'], hunks: Hunk[]): Change {
  return counted({ path, to: null, what, hunks, added: 0, removed: 0 })
}

function counted(change: Change): Change {
  const count = (sign: Line['sign']): number =>
    change.hunks.reduce((sum, hunk) => sum + hunk.lines.filter((line) => line.sign === sign).length, 0)
  return { ...change, added: count('+'), removed: count('-') }
}

function linesOf(text: string): string[] {
  const lines = text.split('\n')
  if (lines.at(-1) === '') lines.pop()
  return lines
}

/** What became of lines: what both begin and end with stays, of which a little is shown. */
function compared(before: string[], after: string[]): Line[] {
  let start = 0
  while (start < before.length && start < after.length && before[start] === after[start]) start += 1
  let end = 0
  while (end < before.length - start && end < after.length - start && before.at(-1 - end) === after.at(-1 - end)) end += 1
  const [out, into] = [before.slice(start, before.length - end), after.slice(start, after.length - end)]
  const stays = (lines: string[]): Line[] => lines.map((text) => ({ sign: ' ', text }))
  const middle: Line[] =
    out.length * into.length <= COMPARED_MAX
      ? common(out, into)
      : [...out.map((text): Line => ({ sign: '-', text })), ...into.map((text): Line => ({ sign: '+', text }))]
  const below = end === 0 ? [] : before.slice(before.length - end).slice(0, ABOUT)
  return [...stays(before.slice(Math.max(0, start - ABOUT), start)), ...middle, ...stays(below)]
}

/** By the longest common sequence of lines. */
function common(before: string[], after: string[]): Line[] {
  const width = after.length + 1
  const lengths = new Uint32Array((before.length + 1) * width)
  const at = (i: number, j: number): number => lengths[i * width + j] ?? 0
  for (let i = before.length - 1; i >= 0; i -= 1) {
    for (let j = after.length - 1; j >= 0; j -= 1) {
      lengths[i * width + j] = before[i] === after[j] ? at(i + 1, j + 1) + 1 : Math.max(at(i + 1, j), at(i, j + 1))
    }
  }
  const lines: Line[] = []
  let [i, j] = [0, 0]
  while (i < before.length || j < after.length) {
    if (i < before.length && j < after.length && before[i] === after[j]) {
      lines.push({ sign: ' ', text: before[i]! })
      i += 1
      j += 1
    } else if (i < before.length && (j === after.length || at(i + 1, j) >= at(i, j + 1))) {
      lines.push({ sign: '-', text: before[i]! })
      i += 1
    } else {
      lines.push({ sign: '+', text: after[j]! })
      j += 1
    }
  }
  return lines
}
