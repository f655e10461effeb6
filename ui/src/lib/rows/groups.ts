/**
 * The list of chats as it is seen: groups with headings, of which only the rows near the view are made.
 *
 * A group's bounds are found by halving in the order that `Rooms` keeps, and a row's place by its number, so that the
 * work grows with what is seen and not with how many chats there are.
 */
import type { Rooms, Section } from '../list/rooms'
import { texts } from '../texts'
import { periods } from '../words/time'

export interface Group {
  name: string
  section: Section
  /** Its chats stand at these places of the section. */
  start: number
  end: number
}

/** The rows of a group that are made, and the space of those that are not. */
export interface Part {
  group: Group
  from: number
  to: number
  above: number
  below: number
}

export const HEADING_PX = 36
export const PROGRAMS_SHOWN = 3
export const ROWS_MAX = 80

/** `open`: the chat that is looked at, which is seen in any case. */
export function groupsOf(rooms: Rooms, now: Date, allPrograms: boolean, open: string | null = null): Group[] {
  const made: Group[] = []
  const add = (name: string, section: Section, start: number, end: number): void => {
    if (end > start) made.push({ name, section, start, end })
  }
  add(texts.list.pinned, 'pinned', 0, rooms.count('pinned'))
  add(texts.list.shared, 'shared', 0, rooms.count('shared'))
  let start = 0
  for (const { name, from } of periods(now)) {
    const end = rooms.countSince('own', from)
    add(name, 'own', start, end)
    start = end
  }
  add(texts.list.programs, 'programs', 0, allPrograms ? rooms.count('programs') : rooms.linesOf('programs', PROGRAMS_SHOWN, open))
  return made
}

/** What is made of the groups for a view of the list: the rows in it and `margin` around it, never more than ROWS_MAX. */
export function partsOf(groups: readonly Group[], view: { top: number; height: number; row: number; margin: number }): Part[] {
  const { row, margin } = view
  let left = ROWS_MAX
  let y = 0
  return groups.map((group) => {
    const count = group.end - group.start
    const first = y + HEADING_PX
    const from = Math.min(count, Math.max(0, Math.floor((view.top - margin - first) / row)))
    const wanted = Math.min(count, Math.max(from, Math.ceil((view.top + view.height + margin - first) / row)))
    const to = Math.min(wanted, from + left)
    left -= to - from
    y = first + count * row
    return { group, from: group.start + from, to: group.start + to, above: from * row, below: (count - to) * row }
  })
}
