import { describe, expect, test } from 'vitest'
import type { Branch } from '../lib/protocol'
import { Tree } from './tree'

function branch(number: number, parent: number | null, after: number, last: number | null, deleted = false): Branch {
  return { branch: number, parent, after, last, name: null, by: null, created_at: null, deleted_at: deleted ? 'x' : null }
}

/** 0: 1 to 9; 1 behind 4: 10, 11; 2 behind 4: 12; 3 behind 10, in 1: 13; 4 behind 2: 14. */
const TREE = new Tree([branch(0, null, 0, 9), branch(1, 0, 4, 11), branch(2, 0, 4, 12), branch(3, 1, 10, 13), branch(4, 0, 2, 14)])

describe('a path', () => {
  test('is a branch, then its parent up to where it begins, and so on', () => {
    expect(TREE.pathOf(3)).toEqual([[3, Infinity], [1, 10], [0, 4]])
    expect(TREE.pathOf(0)).toEqual([[0, Infinity]])
  })

  test('of the first parts wherever others begin', () => {
    expect(TREE.forksOf(0)).toEqual([
      { parent: 0, after: 2, leads: [3, 4], at: 0 },
      { parent: 0, after: 4, leads: [0, 3, 2], at: 0 },
    ])
  })

  test('of another parts where it begins, and not where only others go on', () => {
    expect(TREE.forksOf(3).map(({ parent, after, at }) => [parent, after, at])).toEqual([[0, 2, 0], [0, 4, 1], [1, 10, 1]])
    expect(TREE.forksOf(4)).toEqual([{ parent: 0, after: 2, leads: [3, 4], at: 1 }])
    expect(TREE.forksOf(2).map(({ after, at }) => [after, at])).toEqual([[2, 0], [4, 2]])
  })
})

describe('a choice', () => {
  test('leads to the newest of what grew there, so that nothing vanishes', () => {
    expect(TREE.forksOf(0)[1]!.leads[1]).toBe(3)
    const older = new Tree([branch(0, null, 0, 9), branch(1, 0, 4, 20), branch(2, 1, 10, 13)])
    expect(older.forksOf(0)[0]!.leads).toEqual([0, 1])
  })

  test('of the way that was there first leads nowhere that begins before it parts', () => {
    const early = new Tree([branch(0, null, 0, 9), branch(1, 0, 6, 10), branch(2, 0, 2, 30)])
    expect(early.forksOf(0).find(({ after }) => after === 6)!.leads).toEqual([0, 1])
  })

  test('is one also before its answer has come', () => {
    const waits = new Tree([branch(0, null, 0, 2), branch(1, 0, 1, null)])
    expect(waits.forksOf(1)).toEqual([{ parent: 0, after: 1, leads: [0, 1], at: 1 }])
  })

  test('may be before all messages', () => {
    expect(new Tree([branch(0, null, 0, 2), branch(1, 0, 0, 3)]).forksOf(0)).toEqual([{ parent: 0, after: 0, leads: [0, 1], at: 0 }])
  })
})

test('what was deleted is no choice, and nobody stays there', () => {
  const tree = new Tree([branch(0, null, 0, 9), branch(1, 0, 4, 11, true), branch(2, 0, 4, 12), branch(3, 1, 10, 13, true)])
  expect(tree.forksOf(0)).toEqual([{ parent: 0, after: 4, leads: [0, 2], at: 0 }])
  expect([0, 1, 2, 3, 9].map((one) => tree.isLive(one))).toEqual([true, false, true, false, true])
})
