import { expect, test } from 'vitest'
import { message } from '../testing'
import { endingOf } from './ending'

const said = (finish: string | undefined, text = 'Yes.') => endingOf(message(1, { role: 'assistant', text, meta: { finish } }))

test('an answer that was cut says why, and what can be gone on with', () => {
  expect([said('stop'), said('tool_calls', '')]).toEqual([null, null])
  expect(said('other_speaker')).toEqual({ text: 'It was stopped here: it began to speak for somebody else.', failed: false, partial: false })
  expect(said('budget')).toEqual({ text: 'The budget for answers ended it here.', failed: false, partial: true })
  expect(said('length')?.partial).toBe(true)
  expect(said('stop', ' ')?.failed).toBe(true)
})
