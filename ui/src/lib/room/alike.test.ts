import { expect, test } from 'vitest'
import { marksOf, skeleton } from './alike'

test('names look alike whatever script, case, accent or unseen character they are written with', () => {
  const names = ['Ada Lovelace', 'АԀа Lоvеlасе'.replace('Ԁ', 'ԁ'), 'ada lovelace', 'Ａｄａ Ｌｏｖｅｌａｃｅ', 'Ada\u200bLovelace', 'Adá Lov\u0435lace', 'Ada L0ve1ace', 'Ada\u00a0Lovelace']
  expect(new Set(names.map(skeleton)).size).toBe(1)
  for (const other of ['Ada Lovelac', 'Bo', 'Eda Lovelace']) expect(skeleton(other)).not.toBe(skeleton(names[0]!))
})

test('small letters that are one in another size look alike', () => {
  for (const [one, other] of [['Bill', 'Bi11'], ['Ian', 'lan'], ['Modern', 'Modem'], ['Οlga', 'Olga'], ['Straße', 'STRASSE']]) {
    expect(skeleton(one!)).toBe(skeleton(other!))
  }
})

test('only those whose names look alike are marked, by handle, or by a piece of the id', () => {
  const marks = marksOf([
    { id: 'u_00001111', name: 'Ada', handle: 'ada', guest: false },
    { id: 'u_00002222', name: 'Аda', handle: null, guest: true },
    { id: 'u_00003333', name: 'Bo', handle: 'bo', guest: false },
    { id: 'a_00004444', name: 'A d a' },
    { id: 'u_00001111', name: 'Ada' },
  ])
  expect([...marks]).toEqual([['u_00001111', '@ada'], ['u_00002222', 'guest 2222'], ['a_00004444', '#4444']])
})
