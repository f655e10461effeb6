import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { parse, type AST } from 'svelte/compiler'
import { describe, expect, test } from 'vitest'

/** Radii, and what is none of a block: the corner of a bubble that points at who speaks, a circle, a pill. */
const RADII = new Set(['0', '4px', '50%', '99px', 'inherit', ...['chip', 'field', 'block', 'bubble', 'dialog', 'composer'].map((name) => `var(--r-${name})`)])
const SIZES = new Set(['inherit', '0.6875rem', '0.75rem', '0.8125rem', '0.875rem', '0.9375rem', '1rem', '1.125rem', '1.25rem'])
const WEIGHTS = new Set(['400', '560', '640'])
const SAID = new Set(['aria-label', 'title', 'placeholder', 'alt', 'label', 'hint'])
const LINES_MAX = 600
/** Written by a script; it grows with what the server tells. */
const GENERATED = 'src/lib/protocol.ts'
const ENTRIES_MAX = 15
/** Avatars have eight colours of their own, and a QR code is dark on light whatever the theme. */
const COLOURED = /kit\/Avatar|settings\/Devices/

const files = below('src').filter((path) => !path.startsWith('src/markdown'))
const components = files.filter((path) => path.endsWith('.svelte')).map((path) => ({ path, source: readFileSync(path, 'utf8') }))

function below(folder: string): string[] {
  return readdirSync(folder).flatMap((name) => {
    const path = join(folder, name)
    return statSync(path).isDirectory() ? below(path) : [path]
  })
}

function nodesOf(node: unknown, found: AST.SvelteNode[] = []): AST.SvelteNode[] {
  if (Array.isArray(node)) for (const one of node) nodesOf(one, found)
  else if (node !== null && typeof node === 'object') {
    if ('type' in node) found.push(node as AST.SvelteNode)
    for (const [name, value] of Object.entries(node)) if (name !== 'css') nodesOf(value, found)
  }
  return found
}

const isWords = (text: string): boolean => /\p{L}{2}/u.test(text)

/** What a component says in words of its own: between its tags, and in attributes that are read out or shown. */
function wordsIn(source: string): string[] {
  const { fragment } = parse(source, { modern: true })
  const nodes = nodesOf(fragment)
  const code = new Set(nodes.flatMap((node) => (node.type === 'RegularElement' && node.name === 'code' ? nodesOf(node.fragment) : [])))
  const attributes = nodes.filter((node) => node.type === 'Attribute')
  const ofAttributes = new Set(nodes.flatMap((node) => (node.type === 'Attribute' || node.type === 'StyleDirective' ? nodesOf(node.value) : [])))
  const said = attributes.filter((node) => SAID.has(node.name)).flatMap((node) => nodesOf(node.value))
  return [...nodes.filter((node) => !ofAttributes.has(node) && !code.has(node)), ...said]
    .flatMap((node) => (node.type === 'Text' && isWords(node.data) ? node.data.trim() : []))
}

test('the rule itself sees words', () => {
  const source = '<p title="Hello there">Some words {name}</p><Button label="More" data-testid="not said">{say.it}</Button><code>a command</code>'
  expect(wordsIn(source)).toEqual(['Some words', 'Hello there', 'More'])
})

test('no component says words of its own: all stand in lib/texts.ts, or in texts-later.ts', () => {
  expect(components.length).toBeGreaterThan(30)
  expect(components.flatMap(({ path, source }) => wordsIn(source).map((words) => `${path}: ${words}`))).toEqual([])
})

test('nor does code: what is two words or more and begins with a capital stands there, too', () => {
  const code = files.filter((path) => /\.(ts|svelte)$/.test(path) && !/\.test\.ts$|lib\/(texts[-a-z]*|protocol|words\/device)\.ts$/.test(path))
  const literals = code.flatMap((path) => {
    const lines = readFileSync(path, 'utf8').split('\n').filter((line) => !/^\s*(\/\/|\/?\*|<!--)/.test(line))
    return lines.filter((line) => /['`"]\p{Lu}\p{Ll}+ \p{Ll}[^=]*['`"]/u.test(line)).map((line) => `${path}: ${line.trim()}`)
  })
  expect(literals).toEqual([])
})

describe('what is drawn keeps to the scales', () => {
  const sheets = [...components, { path: 'src/styles/page.css', source: readFileSync('src/styles/page.css', 'utf8') }]
  const values = (property: string): { path: string; value: string }[] =>
    sheets.flatMap(({ path, source }) => {
      const css = path.endsWith('.css') ? source : source.slice(source.indexOf('<style>'))
      return [...css.matchAll(new RegExp(`[\\s;{]${property}:\\s*([^;}]+)`, 'g'))].map((match) => ({ path, value: match[1]!.trim() }))
    })
  const strange = (property: string, allowed: Set<string>): string[] =>
    values(property).flatMap(({ path, value }) => value.split(/\s+/).filter((one) => !allowed.has(one)).map((one) => `${path}: ${one}`))

  test.each([['font-size', SIZES], ['font-weight', WEIGHTS], ['border-radius', RADII]] as const)('%s', (property, allowed) => {
    expect(values(property).length).toBeGreaterThan(5)
    expect(strange(property, allowed)).toEqual([])
  })

  test('a colour is a name, but for those of avatars and of a QR code', () => {
    const raw = components.flatMap(({ path, source }) =>
      COLOURED.test(path) ? [] : [...source.slice(source.indexOf('<style>')).matchAll(/#[0-9a-f]{3,8}\b/gi)].map(([colour]) => `${path}: ${colour}`))
    expect(raw).toEqual([])
  })
})

test('files and folders stay small enough to be looked through', () => {
  const long = files.filter((path) => path !== GENERATED && readFileSync(path, 'utf8').split('\n').length > LINES_MAX)
  const folders = new Map<string, number>()
  for (const path of files) {
    const folder = path.slice(0, path.lastIndexOf('/'))
    if (!path.endsWith('.test.ts')) folders.set(folder, (folders.get(folder) ?? 0) + 1)
  }
  const full = [...folders].filter(([, count]) => count > ENTRIES_MAX)
  expect([long, full]).toEqual([[], []])
})
