/** The words of what answers used. */

const compact = new Intl.NumberFormat(undefined, { notation: 'compact', maximumFractionDigits: 1 })
const money = new Intl.NumberFormat(undefined, { style: 'currency', currency: 'USD' })
const dates = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeZone: 'UTC' })
const tenths = new Intl.NumberFormat(undefined, { maximumFractionDigits: 1 })
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
  messages: 'Messages',
  begins: 'First word within',
  perDay: 'Messages a day',
  most: (count: number, day: string) => `At most ${count.toLocaleString()}, on ${day}`,
  asTable: 'As a table',
  none: 'No model was asked in this time.',
  budgets: 'Budgets',
  server: 'The server',
  whose: (who: string, period: string) => `${who}, ${period === 'day' ? 'a day' : 'a month'}`,
  now: (period: string) => (period === 'day' ? 'Today' : 'This month'),
  used: (percent: number) => (percent === 100 ? 'Used up' : `${percent} % used`),
  ofTokens: (used: number, most: number) => `${compact.format(used)} of ${compact.format(most)} tokens`,
  ofMoney: (used: number, most: number) => `${money.format(used / MILLION)} of ${money.format(most / MILLION)}`,
  anew: (at: string) => `begins anew on ${dates.format(new Date(at))}, 00:00 UTC`,
  setOne: 'Set a budget',
  for: 'For',
  kinds: { server: 'The server', person: 'A person', agent: 'An agent' },
  handle: 'Handle',
  in: 'In',
  periods: { day: 'A day', month: 'A month' },
  tokens: 'Tokens',
  money: 'Dollars',
  any: 'no bound',
  set: 'Set',
  noBound: 'Say how many tokens, or how much money.',
  nobodySo: 'Nobody has this handle.',
  remove: 'Remove',
  removeOne: (what: string) => `Remove the budget: ${what}`,
  removeTitle: 'Remove this budget?',
  removeText: (what: string) => `${what}: answers are bounded by it no more.`,
  nobody: 'Nobody',
  number: (count: number) => compact.format(count),
  day: (name: string) => dates.format(new Date(name)),
  dollars: (micros: number | null) =>
    micros === null ? 'unknown' : micros > 0 && micros < CENT_MICROS ? `< ${money.format(0.01)}` : money.format(micros / MILLION),
  /** How soon answers begin. */
  seconds: (ms: number | null) => (ms === null ? '–' : ms < 1000 ? `${ms} ms` : `${tenths.format(ms / 1000)} s`),
  half: (half: string, most: string) => `Half of the answers began within ${half}, 95 of 100 within ${most}.`,
  failed: (count: number) => (count === 0 ? '' : count === 1 ? 'One answer failed.' : `${count.toLocaleString()} answers failed.`),
  failedOf: (count: number) => `${count.toLocaleString()} failed`,
  size: (bytes: number) => `The database takes ${bytes < 1e9 ? `${tenths.format(bytes / 1e6)} MB` : `${tenths.format(bytes / 1e9)} GB`}.`,
  unpriced: (count: number, of: number) => (count === 0 || count === of ? '' : `The price of ${count} of the answers is not known, and not in this cost.`),
  estimated: (count: number) =>
    count === 0 ? '' : count === 1 ? 'The tokens of one answer were estimated.' : `The tokens of ${count} answers were estimated.`,
}
