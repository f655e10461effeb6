import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { REDUCERS } from './reducers'

/**
 * It changes neither what is said in a chat nor its line in the list, which the notice beside it fetches anew. Of branches
 * the list is fetched anew where it is looked at.
 */
const NOTHING_HERE = ['room.created', 'room.moved', 'room.settings', 'branch.named', 'branch.deleted', 'branch.restored']
/** What happens in the audit room, which nobody has open here. */
const AUDITED = /^(session|key|invite|account|password|identity|profile|webhook|signin|settings|admin|agent|budget)\./

test('every kind of event that the protocol names changes something here or is known to change nothing', () => {
  const told = /^Kinds of events and their `d`: ([\s\S]*?)\n\n/m.exec(readFileSync('../docs/protocol.md', 'utf8'))?.[1] ?? ''
  const kinds = [...told.matchAll(/`([a-z]+\.[a-z_]+)`/g)].map((match) => match[1]!)
  expect(kinds.length).toBeGreaterThan(7)
  expect([...new Set(kinds)].filter((kind) => !AUDITED.test(kind)).sort()).toEqual([...Object.keys(REDUCERS), ...NOTHING_HERE].sort())
})
