/** The calls of REST about what answers used. */
import type { Calls } from './calls'
import type { Budget, Budgets, Report } from '../protocol'

export type UsedBy = 'model' | 'person' | 'agent' | 'day'

const DAY_MS = 86_400_000

/** What was used in the last days: of everybody, or one's own. */
export function usage(calls: Calls, { all, days, by }: { all: boolean; days: number; by: UsedBy }): Promise<Report> {
  const from = new Date(Date.now() - (days - 1) * DAY_MS).toISOString().slice(0, 10)
  return calls.call('GET', `${all ? '' : '/me'}/usage?${new URLSearchParams({ from, by })}`)
}

/** A budget as it is set; with neither bound there is none any more. */
export type Bound = Pick<Budget, 'kind' | 'of' | 'period' | 'tokens' | 'cost_micros'>

/** All budgets, or those of one's own answers. */
export async function budgets(calls: Calls, all: boolean): Promise<Budget[]> {
  return (await calls.call<Budgets>('GET', all ? '/budgets' : '/me/budgets')).budgets
}

/** All budgets then. */
export async function setBudget(calls: Calls, bound: Bound): Promise<Budget[]> {
  return (await calls.call<Budgets>('PUT', '/budgets', bound)).budgets
}
