import { expect, test, vi } from 'vitest'
import { Drafts } from './drafts'
import { MemoryStore } from './storage'

test('a draft is kept for its room, and told when it comes and when it goes', () => {
  const store = new MemoryStore()
  const drafts = new Drafts(store)
  const heard = vi.fn()
  drafts.changed.subscribe(heard)
  for (const text of ['h', 'he', 'hello']) drafts.keep('r_1', text)
  expect([drafts.of('r_1'), drafts.of('r_2'), drafts.of(null), drafts.has('r_1')]).toEqual(['hello', '', '', true])
  expect(heard).toHaveBeenCalledTimes(1)
  expect(new Drafts(store).has('r_1')).toBe(true)
  drafts.keep('r_1', '  ')
  expect([drafts.of('r_1'), drafts.has('r_1'), store.length, heard.mock.calls.length]).toEqual(['', false, 0, 2])
})

test('without room for it a draft lives as long as its field', () => {
  const store = new MemoryStore()
  store.setItem = () => {
    throw new DOMException('full', 'QuotaExceededError')
  }
  const drafts = new Drafts(store)
  drafts.keep('r_1', 'hello')
  expect(drafts.has('r_1')).toBe(true)
})
