/** Times as people say them. The exact time is always there as a title. */
import { texts } from '../texts'

const DAY_MS = 86_400_000

const clockFormat = new Intl.DateTimeFormat(undefined, { hour: 'numeric', minute: '2-digit' })
const exactFormat = new Intl.DateTimeFormat(undefined, { dateStyle: 'full', timeStyle: 'medium' })
const dayFormat = new Intl.DateTimeFormat(undefined, { weekday: 'long', day: 'numeric', month: 'long' })
const dayYearFormat = new Intl.DateTimeFormat(undefined, { day: 'numeric', month: 'long', year: 'numeric' })
const shortFormat = new Intl.DateTimeFormat(undefined, { day: 'numeric', month: 'short' })
export const relativeFormat = new Intl.RelativeTimeFormat(undefined, { numeric: 'auto' })

export function clock(at: string): string {
  return clockFormat.format(new Date(at))
}

export function exact(at: string): string {
  return exactFormat.format(new Date(at))
}

/** Which calendar day a time falls on, here. */
export function dayOf(at: string): number {
  const date = new Date(at)
  return Math.round(new Date(date.getFullYear(), date.getMonth(), date.getDate()).getTime() / DAY_MS)
}

export function dayName(at: string, now = new Date()): string {
  const days = dayOf(now.toISOString()) - dayOf(at)
  if (days === 0 || days === 1) return capital(relativeFormat.format(-days, 'day'))
  const date = new Date(at)
  return (date.getFullYear() === now.getFullYear() ? dayFormat : dayYearFormat).format(date)
}

/** For the list of rooms: as short as can be. */
export function short(at: string, now = new Date()): string {
  const seconds = (now.getTime() - new Date(at).getTime()) / 1000
  if (seconds < 60) return texts.times.now
  if (seconds < 3600) return texts.times.minutes(Math.floor(seconds / 60))
  if (dayOf(at) === dayOf(now.toISOString())) return clock(at)
  return shortFormat.format(new Date(at))
}

/** For a message: how long ago while that says more, else the time of day. */
export function relative(at: string, now = new Date()): string {
  const seconds = (now.getTime() - new Date(at).getTime()) / 1000
  if (seconds < 45) return texts.times.justNow
  if (seconds < 3600) return relativeFormat.format(-Math.max(1, Math.round(seconds / 60)), 'minute')
  return clock(at)
}

/** The headings under which chats stand in the list, each with the time from which on they do, the newest first. */
export function periods(now = new Date()): { name: string; from: string }[] {
  const { today, yesterday, week, month, older } = texts.times
  const named: [string, number][] = [[today, 0], [yesterday, 1], [week, 6], [month, 29]]
  const from = (days: number): string => new Date(now.getFullYear(), now.getMonth(), now.getDate() - days).toISOString()
  return [...named.map(([name, days]) => ({ name, from: from(days) })), { name: older, from: '' }]
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1)
}
