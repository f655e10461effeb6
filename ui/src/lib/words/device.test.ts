import { describe, expect, test } from 'vitest'
import { deviceName } from './device'
import { qrPath } from './qr'

describe('a device', () => {
  test('is named after its browser and its system', () => {
    const android = 'Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0 Mobile Safari/537.36'
    const iphone = 'Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1 (KHTML, like Gecko) Version/18.0 Mobile/15E148 Safari/604.1'
    expect(deviceName(android)).toBe('Chrome on Android')
    expect(deviceName(iphone)).toBe('Safari on iPhone')
    expect(deviceName('Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0')).toBe('Firefox on Linux')
    expect(deviceName('curl/8')).toBe('Browser on another system')
  })
})

describe('a QR code', () => {
  test('has its three corners, and says something else for another text', () => {
    const { size, path } = qrPath('https://chat.example.org/device#abc')
    const dark = new Set([...path.matchAll(/M(\d+) (\d+)h/g)].map(([, x, y]) => `${x},${y}`))
    const ring = (x: number, y: number) => [0, 6].every((i) => dark.has(`${x + i},${y}`) && dark.has(`${x},${y + i}`))
    expect(size).toBeGreaterThanOrEqual(21)
    for (const [x, y] of [[0, 0], [size - 7, 0], [0, size - 7]] as const) expect(ring(x, y)).toBe(true)
    expect(dark.has('7,7')).toBe(false)
    expect(qrPath('https://chat.example.org/device#abd').path).not.toBe(path)
  })
})
