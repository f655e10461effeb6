import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { REDUCERS } from './reducers'

/** They change neither what is said in a chat nor its line in the list, which the notice beside them fetches anew. */
const NOTHING_HERE = ['room.created', 'session.began', 'session.ended', 'key.created', 'key.revoked', 'invite.created', 'invite.used', 'invite.revoked']

test('every kind of event that the protocol names changes something here or is known to change nothing', () => {
  const told = /^Kinds of events and their `d`: ([\s\S]*?)\n\n/m.exec(readFileSync('../docs/protocol.md', 'utf8'))?.[1] ?? ''
  const kinds = [...told.matchAll(/`([a-z]+\.[a-z_]+)`/g)].map((match) => match[1]!)
  expect(kinds.length).toBeGreaterThan(7)
  expect([...new Set(kinds)].sort()).toEqual([...Object.keys(REDUCERS), ...NOTHING_HERE].sort())
})
