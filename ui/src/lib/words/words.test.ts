import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import '../texts-inside'
import { charactersIn, Problem, problemText, tooLongText } from '../server/errors'
import { answerText } from '../texts-chat'
import { newCid } from '../outbox/ids'
import { linkParts, typedParts } from './links'
import { isolated } from './isolated'
import { folded, initials, roomTitle } from './names'
import { DELETED, parseRoute, routePath, SECTIONS, settingsPath } from '../route'
import { ago as since } from './moments'
import { dayName, periods, relative, short } from './time'

describe('errors', () => {
  const source = readFileSync('../src/palaver/errors.py', 'utf8')
  const codes = [...source.split('class PalaverError')[0]!.matchAll(/^ {4}[A-Z_]+ = "([a-z_]+)"/gm)].map((match) => match[1]!)
  const ofCommands = /^(database_(newer|older|locked|url_invalid|missing|not_empty|incomplete|damaged)|bind_refused|place_unusable|port_taken|settings_invalid)$/
  const shown = codes.filter((code) => !ofCommands.test(code))

  test('the server’s codes are found', () => {
    expect(shown.length).toBeGreaterThan(30)
  })

  test.each(shown)('the server’s code %s has words of its own', (code) => {
    const said = problemText(new Problem(code, { temporary: true }))
    expect(said).not.toBe(problemText(new Problem('no_such_code', { temporary: true })))
  })

  test('what is too long is told with both numbers, counted as the server counts', () => {
    expect(charactersIn('a\u{1f600}\ud800')).toBe(3)
    const said = tooLongText('\u{1f600}'.repeat(100_001), 100_000)
    expect(said).toContain((100_001).toLocaleString())
    expect(said).toContain((100_000).toLocaleString())
  })

  test('an unknown code is never shown raw', () => {
    expect(problemText(new Problem('weird_thing'))).not.toContain('weird')
    expect(problemText(new TypeError('x is undefined'))).not.toContain('undefined')
    expect(answerText('weird_thing')).not.toContain('weird')
  })
})

describe('addresses', () => {
  test('are read as they are written', () => {
    for (const [room, seq] of [[null, null], ['r_1', null], ['r_1', 42]] as const) {
      expect(parseRoute(routePath(room, seq))).toEqual({ view: room ? 'room' : 'start', room, seq, section: null, admin: null, part: null, panel: null })
    }
    expect(parseRoute(DELETED).view).toBe('deleted')
    for (const section of [null, ...SECTIONS]) expect(parseRoute(settingsPath(section))).toMatchObject({ view: 'settings', section })
  })

  test('name what stands beside a chat', () => {
    expect(parseRoute('/r/r_1/4', '?p=chat')).toMatchObject({ view: 'room', room: 'r_1', seq: 4, panel: 'chat' })
    expect(parseRoute('/r/r_1', '?p=weather').panel).toBe(null)
    expect(parseRoute('/', '?p=people').panel).toBe(null)
  })

  test('that mean nothing are told from the start', () => {
    for (const path of ['/x', '/r/', '/r/a b', '/r/r_1/x', '/r/../api', '/settings/', '/settings/weather', '/settings/keys/k_1']) {
      expect(parseRoute(path)).toEqual({ view: 'nothing', room: null, seq: null, section: null, admin: null, part: null, panel: null })
    }
  })
})

describe('links', () => {
  const hrefs = (text: string) => linkParts(text).flatMap(({ href }) => href ?? [])

  test('are found without the punctuation around them', () => {
    expect(hrefs('see https://a.example/x?y=1, or (http://b.example/z).')).toEqual(['https://a.example/x?y=1', 'http://b.example/z'])
    expect(hrefs('https://c.example/a_(b)')).toEqual(['https://c.example/a_(b)'])
  })

  test('end where the words of scripts without spaces go on', () => {
    expect(hrefs('https://a.example/path。次 “https://b.example/x”と（https://c.example/wiki/日本）')).toEqual([
      'https://a.example/path', 'https://b.example/x', 'https://c.example/wiki/日本',
    ])
  })

  test('are none within code in a line, which stands between single backticks', () => {
    const parts = typedParts('Is `https://a.example` like `b c`? https://d.example, `not\nthis` ``nor `this`` ` or that')
    expect(parts.flatMap(({ code, text }) => (code ? [text] : []))).toEqual(['https://a.example', 'b c'])
    expect(parts.flatMap(({ href }) => href ?? [])).toEqual(['https://d.example'])
    expect(parts.at(-1)?.text).toBe(', `not\nthis` ``nor `this`` ` or that')
  })

  test('leave every character of the text in place', () => {
    const text = 'a https://x.example/. b javascript:alert(1) http:// c'
    expect(linkParts(text).map((part) => part.text).join('')).toBe(text)
    expect(hrefs(text)).toEqual(['https://x.example/'])
  })
})

describe('names', () => {
  test('are searched whatever their case and accents', () => {
    for (const [title, piece] of [
      ['Café Zürich', 'cafe zurich'],
      ['Cafe\u0301', 'CAFÉ'],
      ['großer Ärger', 'GROSSER arg'],
      ['groß', 'groẞ'],
      ['İstanbul, IŞIK', 'istanbul, ışık'],
      ['Σίσυφος', 'ΣΙΣΥΦΟΣ'],
      ['Łódź', 'lodz'],
      ['Fishing', 'ﬁsh'],
      ['한글', '한글'.normalize('NFD')],
    ] as const)
      expect(folded(title)).toContain(folded(piece))
    expect(folded('がく')).not.toContain(folded('かく'))
  })

  test('have initials in any script', () => {
    expect(['Ada Lovelace', 'bo', '', '李 雷', '👩‍🚀 x'].map(initials)).toEqual(['AL', 'B', '?', '李雷', '👩X'])
  })

  test('a room without a title has a name', () => {
    expect(roomTitle({ title: '  ' })).toBe('New chat')
  })
})

describe('times', () => {
  const now = new Date(2026, 10, 20, 15, 0, 0)
  const ago = (minutes: number) => new Date(now.getTime() - minutes * 60_000).toISOString()

  test('are said as people say them', () => {
    expect(relative(ago(0.2), now)).toBe('just now')
    expect(relative(ago(5), now)).toBe('5 minutes ago')
    expect(short(ago(5), now)).toBe('5m')
    expect([dayName(ago(60), now), dayName(ago(24 * 60), now)]).toEqual(['Today', 'Yesterday'])
    expect([0.2, 5, 4 * 60, 30 * 60, 90 * 24 * 60].map((minutes) => since(ago(minutes), now))).toEqual([
      'just now', '5 minutes ago', '4 hours ago', 'yesterday', 'August 22, 2026',
    ])
    const period = (at: string) => periods(now).find(({ from }) => at >= from)?.name
    expect([60, 24 * 60, 3 * 24 * 60, 20 * 24 * 60, 90 * 24 * 60].map((minutes) => period(ago(minutes)))).toEqual([
      'Today', 'Yesterday', 'Previous 7 days', 'Previous 30 days', 'Older',
    ])
  })
})

test('a name that runs from the right stands by itself, and none turns the words around it', () => {
  expect(isolated('Ada Ö')).toBe('Ada Ö')
  expect(isolated('עדה')).toBe('\u2068עדה\u2069')
  expect(isolated('Bo\u202e\u2069')).toBe('Bo')
})

test('client ids are version 7 and sorted by time', () => {
  const cids = [1, 2, 3].map((index) => newCid(1_790_000_000_000 + index))
  expect(cids).toEqual([...cids].sort())
  expect(cids[0]).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
})
