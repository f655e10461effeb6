import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { parseRoute, routePath, SECTIONS, settingsPath } from './route'

/** What the server answers with the page, and what is at no address: tests/wire/pages/test_page.py asks it the same. */
const addresses = Object.entries(JSON.parse(readFileSync('../tests/data/addresses.json', 'utf8')) as Record<string, string>)

test('the page knows the addresses that its server knows', () => {
  expect(addresses.map(([path]) => [path, parseRoute(path).view])).toEqual(addresses)
  expect(new Set(addresses.map(([, view]) => view))).toEqual(new Set(['start', 'room', 'settings', 'admin', 'agents', 'search', 'archive', 'deleted', 'starred', 'nothing']))
})

test('all sections of the settings are among them', () => {
  const known = addresses.map(([path]) => path)
  expect(SECTIONS.filter((section) => !known.includes(settingsPath(section)))).toEqual([])
})

test('beside the start stands only what the next chat has of its own', () => {
  expect(['?p=chat', '?p=people', ''].map((search) => parseRoute(routePath(null), search).panel)).toEqual(['chat', null, null])
  expect(routePath(null, null, 'chat')).toBe('/?p=chat')
})

test('the chat as it was is told with its moment, which is a number', () => {
  const panels = ['asof:12', 'people', 'asof:', 'asof:x', 'asof:1/2', 'people2'].map((name) => parseRoute('/r/r_1', `?p=${name}`).panel)
  expect(panels).toEqual(['asof:12', 'people', null, null, null, null])
  expect(routePath('r_1', 7, 'asof:12')).toBe('/r/r_1/7?p=asof:12')
})
