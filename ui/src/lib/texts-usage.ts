/** The words of what answers used. */

const compact = new Intl.NumberFormat(undefined, { notation: 'compact', maximumFractionDigits: 1 })
const money = new Intl.NumberFormat(undefined, { style: 'currency', currency: 'USD' })
const dates = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeZone: 'UTC' })
const MILLION = 1_000_000
const CENT_MICROS = 10_000

export const words = {
  time: 'Time',
  by: 'By',
  ways: { model: 'Model', person: 'Person', agent: 'Agent', day: 'Day' },
  days: (count: number) => (count === 1 ? 'Today' : count === 365 ? 'The last year' : `The last ${count} days`),
  answers: 'Answers',
  input: 'Tokens read',
  output: 'Tokens written',
  cost: 'Cost',
  none: 'No model was asked in this time.',
  nobody: 'Nobody',
  number: (count: number) => compact.format(count),
  day: (name: string) => dates.format(new Date(name)),
  dollars: (micros: number | null) =>
    micros === null ? 'unknown' : micros > 0 && micros < CENT_MICROS ? `< ${money.format(0.01)}` : money.format(micros / MILLION),
  unpriced: (count: number, of: number) => (count === 0 || count === of ? '' : `The price of ${count} of the answers is not known, and not in this cost.`),
  estimated: (count: number) =>
    count === 0 ? '' : count === 1 ? 'The tokens of one answer were estimated.' : `The tokens of ${count} answers were estimated.`,
}
