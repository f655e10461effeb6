import { expect, test } from 'vitest'
import { partsOf } from './parts'

const PIXEL = 'data:image/png;base64,iVBORw0KGgo='

test('a picture that is in the message is shown, in both shapes', () => {
  expect(
    partsOf([
      { type: 'text', text: 'what is this?' },
      { type: 'image_url', image_url: { url: PIXEL } },
      { type: 'input_image', image_url: PIXEL, detail: 'low' },
    ]),
  ).toEqual([{ kind: 'image', src: PIXEL }, { kind: 'image', src: PIXEL }])
})

test('a long picture is asked of the server', () => {
  const src = `/api/messages/m_${'0'.repeat(31)}a/parts/2`
  expect(partsOf([{ type: 'input_image', image_url: src }])).toEqual([{ kind: 'image', src }])
  for (const url of [`${src}/x`, '/api/me', '/api/messages/m_1/parts/2', `//elsewhere.example${src}`]) {
    expect(partsOf([{ type: 'input_image', image_url: url }])).toEqual([{ kind: 'file', name: 'Image' }])
  }
})

test('what is elsewhere is named and linked, never loaded', () => {
  expect(partsOf([{ type: 'image_url', image_url: { url: 'https://elsewhere.example/a.png' } }])).toEqual([
    { kind: 'link', name: 'Image: elsewhere.example', href: 'https://elsewhere.example/a.png' },
  ])
  for (const url of ['javascript:alert(1)', 'data:text/html,x', 'data:image/svg+xml,x', 'https://', 7, null]) {
    expect(partsOf([{ type: 'input_image', image_url: url }])).toEqual([{ kind: 'file', name: 'Image' }])
  }
})

test('sound, files and what is not known are named', () => {
  expect(
    partsOf([
      { type: 'input_audio', input_audio: { data: 'x', format: 'wav' } },
      { type: 'file', file: { filename: 'plan.pdf', file_data: 'x' } },
      { type: 'input_file', file_id: 'file-1' },
      { type: 'hologram' },
    ]).map((part) => part.kind === 'file' && part.name),
  ).toEqual(['Audio: wav', 'File: plan.pdf', 'File: file-1', 'Content: hologram'])
})

test('what has no shape at all is nothing', () => {
  expect(partsOf(undefined)).toEqual([])
  expect(partsOf([null, 'x', 3, {}])).toEqual([])
})
