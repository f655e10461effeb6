import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { KINDS } from './kinds'

test('every type of event of a chat can be chosen', () => {
  const declared = readFileSync('../src/palaver/model/__init__.py', 'utf8')
  const kinds = [...declared.matchAll(/= "((?:room|member|message|branch|reaction|turn)\.[a-z_]+)", AccessChange/g)].map((match) => match[1]!)
  expect([...KINDS].sort()).toEqual(kinds.sort())
})
