/** The calls of REST about what answers used. */
import type { Calls } from './calls'
import type { Report } from '../protocol'

export type UsedBy = 'model' | 'person' | 'agent' | 'day'

const DAY_MS = 86_400_000

/** What was used in the last days: of everybody, or one's own. */
export function usage(calls: Calls, { all, days, by }: { all: boolean; days: number; by: UsedBy }): Promise<Report> {
  const from = new Date(Date.now() - (days - 1) * DAY_MS).toISOString().slice(0, 10)
  return calls.call('GET', `${all ? '' : '/me'}/usage?${new URLSearchParams({ from, by })}`)
}
