/** What models are called, and what an answer of theirs cost. */
import type { Model } from '../protocol'

const STORED = /^f_[0-9a-f]{32}\//
const money = new Intl.NumberFormat(undefined, { style: 'currency', currency: 'USD', maximumSignificantDigits: 2 })

/** What a model is called, by the name under which it is kept. */
export function modelName(key: string, models: readonly Model[] = []): string {
  return models.find((one) => one.key === key || one.id === key)?.id ?? key.replace(STORED, '')
}

/** A price of one answer, which may be far below a cent. */
export function dollars(micros: number): string {
  return money.format(micros / 1_000_000)
}
