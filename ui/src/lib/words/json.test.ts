import { expect, test } from 'vitest'
import { abridged, argumentsLine, fenced, oneLine, pretty, sizeOf } from './json'

test('JSON is indented, and what is none stays as it is', () => {
  expect(pretty('{"a":[1]}')).toBe('{\n  "a": [\n    1\n  ]\n}')
  expect(pretty('{"a":')).toBe('{"a":')
})

test('the ends of pictures and of very long texts are left out', () => {
  const words = 'some words '
  const shown = abridged({ image: `data:${'A'.repeat(20_000)}`, said: words.repeat(500), more: words.repeat(5_000) })
  expect(shown.length).toBeLessThan(27_000)
  expect(shown).toContain('… (20.0 kB in all)')
  expect(shown).toContain(words.repeat(500))
  expect(shown).toContain('… (55.0 kB in all)')
})

test('a long text becomes one line that says that there is more', () => {
  expect(oneLine('  a\n\n b ')).toBe('a b')
  const line = oneLine('👋'.repeat(500))
  expect([...line]).toHaveLength(121)
  expect(line.endsWith('👋…')).toBe(true)
})

test('arguments stand as a programmer would write them', () => {
  expect(argumentsLine('{"city":"Oslo","days":3}')).toBe('city: "Oslo", days: 3')
  expect(argumentsLine('{}')).toBe('')
  expect(argumentsLine('["a"]')).toBe('["a"]')
  expect(argumentsLine('{"city":"Os')).toBe('{"city":"Os')
})

test('a size is what the text takes in UTF-8', () => {
  expect(sizeOf('é')).toBe('2 bytes')
  expect(sizeOf('x'.repeat(12_340))).toBe('12.3 kB')
  expect(sizeOf('x'.repeat(1_500_000))).toBe('1.5 MB')
})

test('no text ends the block of code that it stands in', () => {
  expect(fenced('a\n````\nb', 'json')).toBe('`````json\na\n````\nb\n`````')
  expect(fenced('a', '')).toBe('```\na\n```')
})
