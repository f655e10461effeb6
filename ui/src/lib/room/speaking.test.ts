import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { answering, handlesIn, isQuestion, listenersOf, type Listener } from './speaking'
import { member } from '../../testing'

interface Cases {
  handles: [string, string[]][]
  questions: [string, boolean][]
  answers: { text: string; agents: Omit<Listener, 'id' | 'forMe'>[]; answer: string[] }[]
}
const cases = JSON.parse(readFileSync('../tests/data/speaking.json', 'utf8')) as Cases

test.each(cases.handles)('what %j mentions', (text, named) => {
  expect(handlesIn(text)).toEqual(named)
})

test.each(cases.questions)('whether %j asks', (text, asks) => {
  expect(isQuestion(text)).toBe(asks)
})

test.each(cases.answers)('who answers $text', ({ text, agents, answer }) => {
  const there = agents.map((one) => ({ ...one, id: `a_${one.handle}`, forMe: true }))
  expect(answering(text, there, new Map([['ada', 'u_ada']])).map(({ handle }) => handle)).toEqual(answer)
})

test('an agent is alone with one who may write, where nobody else finds the chat', () => {
  const maya = member('a_1', { kind: 'agent', handle: 'maya', speaks: 'auto' })
  const people = [member('u_1'), member('u_2', { role: 'reader' })]
  const alone = (...there: Parameters<typeof listenersOf>): boolean[] => listenersOf(...there).map((one) => one.alone)
  expect([alone([...people, maya], true), alone([...people, maya], false), alone([...people, member('u_3'), maya], true)]).toEqual([[true], [false], [false]])
})

test('whom an agent is not for is what the server says of it', () => {
  const [maya, max] = [member('a_1', { kind: 'agent', speaks: 'auto', for_me: false }), member('a_2', { kind: 'agent', speaks: 'auto', for_me: true })]
  expect(listenersOf([member('u_1'), maya, max], true).map(({ forMe }) => forMe)).toEqual([false, true])
})

test('a text of any shape is read in a moment', () => {
  const begun = Date.now()
  for (const hostile of ['`'.repeat(50_000), '['.repeat(50_000), '` `` ``` '.repeat(9_000), '@'.repeat(90_000), '[a]('.repeat(20_000), '> \n'.repeat(30_000)]) {
    handlesIn(`${hostile} @ada`)
  }
  expect(Date.now() - begun).toBeLessThan(5_000)
})
