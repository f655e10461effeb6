/** Times of what one looks at and does not scan. */
import { dayOf, relative, relativeFormat } from './time'

const datedFormat = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'short' })
const longAgoFormat = new Intl.DateTimeFormat(undefined, { day: 'numeric', month: 'long', year: 'numeric' })

/** The day and the time. */
export function dated(at: string): string {
  return datedFormat.format(new Date(at))
}

/** How long ago; long ago: the day. */
export function ago(at: string, now = new Date()): string {
  const seconds = (now.getTime() - new Date(at).getTime()) / 1000
  const days = dayOf(now.toISOString()) - dayOf(at)
  if (seconds < 3600) return relative(at, now)
  if (days === 0) return relativeFormat.format(-Math.round(seconds / 3600), 'hour')
  return days <= 30 ? relativeFormat.format(-days, 'day') : longAgoFormat.format(new Date(at))
}
