import { afterEach, expect, test, vi } from 'vitest'
import { middleOf, squareOf } from './picture'

afterEach(() => vi.unstubAllGlobals())

test('the middle of a picture is its largest square', () => {
  expect(middleOf(400, 300)).toEqual([50, 0, 300])
  expect(middleOf(300, 401)).toEqual([0, 50, 300])
  expect(middleOf(1, 1)).toEqual([0, 0, 1])
})

test('what is too large, or is no picture, is said in plain words with its name', async () => {
  const large = new File(['x'], 'photo.png')
  Object.defineProperty(large, 'size', { value: 31 * 1024 * 1024 })
  expect(await squareOf(large)).toBe('photo.png has 31 MB; 20 MB is the most.')
  vi.stubGlobal('createImageBitmap', () => Promise.reject(new Error('not decoded')))
  expect(await squareOf(new File(['<svg/>'], 'notes.txt'))).toBe('notes.txt is not a picture that this browser can show.')
})
