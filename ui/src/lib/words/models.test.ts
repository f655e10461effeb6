import { expect, test } from 'vitest'
import { dollars, modelName } from './models'

const STORED = `f_${'0a'.repeat(16)}`

test('a model is called as it is listed, and without the id of its connection where it is not', () => {
  const models = [{ id: 'work/gpt', key: `${STORED}/gpt`, provider: 'work', default: true }]
  expect([modelName(`${STORED}/gpt`, models), modelName(`${STORED}/gpt`), modelName('meta/llama')]).toEqual(['work/gpt', 'gpt', 'meta/llama'])
})

test('a price far below a cent is told', () => {
  expect([dollars(320), dollars(2_500_000)]).toEqual(['$0.00032', '$2.5'])
})
