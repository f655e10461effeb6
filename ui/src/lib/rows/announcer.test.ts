import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { Announcer } from './announcer'

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

test('a message is told at once, and those that come on its heels by their number', () => {
  const said: string[] = []
  const announcer = new Announcer((text) => said.push(text))
  announcer.add('Bo', 'hello')
  for (const text of ['a', 'b', 'c']) announcer.add('Cy', text)
  expect(said).toEqual(['Bo: hello'])
  vi.advanceTimersByTime(3000)
  expect(said).toEqual(['Bo: hello', '3 new messages'])
  announcer.add('Cy', 'x'.repeat(1000))
  vi.advanceTimersByTime(3000)
  expect(said.at(-1)).toBe(`Cy: ${'x'.repeat(300)}`)
  vi.advanceTimersByTime(10_000)
  announcer.add('Bo', 'later')
  expect(said.at(-1)).toBe('Bo: later')
  announcer.add('Bo', 'never')
  announcer.end()
  vi.advanceTimersByTime(10_000)
  expect(said).toHaveLength(4)
})
