import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { Connection, type Socket } from './connection'
import type { Push, Welcome } from '../protocol'

/** The other end of the line, moved by hand. */
class FakeSocket implements Socket {
  readyState = 0
  onopen: Socket['onopen'] = null
  onmessage: Socket['onmessage'] = null
  onclose: Socket['onclose'] = null
  onerror: Socket['onerror'] = null
  sent: Record<string, unknown>[] = []
  closed = false

  send(data: string): void {
    this.sent.push(JSON.parse(data) as Record<string, unknown>)
  }

  close(): void {
    this.closed = true
    this.readyState = 3
  }

  open(): void {
    this.readyState = 1
    this.onopen?.(undefined as never)
  }

  get(frame: object): void {
    this.onmessage?.({ data: JSON.stringify(frame) })
  }

  end(code: number): void {
    this.readyState = 3
    this.onclose?.({ code })
  }
}

const welcome = {
  t: 'welcome', id: 1, v: 1, epoch: 'e_1', me: { id: 'u_1', name: 'G', kind: 'person', guest: true, handle: null }, ping: 25,
  limits: { frame: 1216384, text: 100000, inflight: 32, rooms: 64 }, db: 'up',
}

function setUp(last: { epoch: string; rooms: Record<string, number> } | null = null) {
  const sockets: FakeSocket[] = []
  const pushes: Push[] = []
  const welcomes: Welcome[] = []
  const onLost = vi.fn()
  const connection = new Connection({
    open: () => {
      const socket = new FakeSocket()
      sockets.push(socket)
      return socket
    },
    last: () => last,
    onWelcome: (frame) => welcomes.push(frame),
    onPush: (push) => pushes.push(push),
    onLost,
    random: () => 1,
  })
  const greet = (): FakeSocket => {
    const socket = sockets.at(-1)!
    socket.open()
    socket.get({ ...welcome, id: socket.sent[0]!.id })
    return socket
  }
  return { connection, sockets, pushes, welcomes, onLost, greet }
}

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

describe('hello', () => {
  test('the first frame is hello with what the client has', () => {
    const { connection, greet, welcomes } = setUp({ epoch: 'e_1', rooms: { r_1: 412 } })
    connection.connect()
    const socket = greet()
    expect(socket.sent[0]).toMatchObject({ t: 'hello', v: 1, last: { epoch: 'e_1', rooms: { r_1: 412 } } })
    expect(connection.state).toBe('open')
    expect(welcomes).toHaveLength(1)
  })

  test('a server that says no welcome is given up', () => {
    const { connection, sockets } = setUp()
    connection.connect()
    sockets[0]!.open()
    vi.advanceTimersByTime(10_001)
    expect(sockets[0]!.closed).toBe(true)
    expect(connection.state).toBe('waiting')
  })
})

test('a person whom the server does not know is not asked for again and again', async () => {
  const { connection, sockets } = setUp()
  connection.connect()
  const socket = sockets[0]!
  socket.open()
  socket.get({ t: 'err', id: socket.sent[0]!.id, code: 'unauthenticated', temporary: false })
  await vi.advanceTimersByTimeAsync(0)
  socket.end(4503)
  expect(connection).toMatchObject({ state: 'stopped', closeCode: 4503 })
})

describe('requests', () => {
  test('replies find their request, whatever their order', async () => {
    const { connection, greet } = setUp()
    connection.connect()
    const socket = greet()
    const first = connection.request({ t: 'unsub', room: 'r_1' })
    const second = connection.request({ t: 'stop', turn: 't_1' })
    const [a, b] = socket.sent.slice(-2)
    socket.get({ t: 'ok', id: b!.id, turn: 'second' })
    socket.get({ t: 'err', id: a!.id, code: 'rate_limited', temporary: true, retry_ms: 1200 })
    await expect(second).resolves.toMatchObject({ turn: 'second' })
    await expect(first).rejects.toMatchObject({ code: 'rate_limited', temporary: true, retryMs: 1200 })
  })

  test('what is under way when the connection goes fails as temporary', async () => {
    const { connection, greet } = setUp()
    connection.connect()
    const socket = greet()
    const request = connection.request({ t: 'watch' })
    socket.end(1006)
    await expect(request).rejects.toMatchObject({ code: 'offline', temporary: true })
    await expect(connection.request({ t: 'watch' })).rejects.toMatchObject({ code: 'offline' })
  })

  test('pushes go on, pings are answered, and what is no frame is ignored', () => {
    const { connection, greet, pushes } = setUp()
    connection.connect()
    const socket = greet()
    socket.onmessage?.({ data: 'not json' })
    socket.get([])
    socket.get({ t: 'ping' })
    socket.get({ t: 'db', state: 'down' })
    expect(socket.sent.at(-1)).toEqual({ t: 'pong' })
    expect(pushes).toEqual([{ t: 'db', state: 'down' }])
  })
})

describe('reconnecting', () => {
  test('waits longer each time and starts over after a welcome', () => {
    const { connection, sockets, greet } = setUp()
    connection.connect()
    for (const wait of [400, 800, 1600]) {
      const count = sockets.length
      sockets.at(-1)!.end(1006)
      vi.advanceTimersByTime(wait - 1)
      expect(sockets).toHaveLength(count)
      vi.advanceTimersByTime(1)
      expect(sockets).toHaveLength(count + 1)
    }
    greet()
    expect(connection.attempts).toBe(0)
  })

  test('4499 comes back, 4500 does not', () => {
    const one = setUp()
    one.connection.connect()
    one.greet().end(4499)
    expect(one.connection.state).toBe('waiting')
    const two = setUp()
    two.connection.connect()
    two.greet().end(4500)
    expect(two.connection.state).toBe('stopped')
    vi.advanceTimersByTime(120_000)
    expect(two.sockets).toHaveLength(1)
    expect(two.onLost).toHaveBeenCalledTimes(1)
  })

  test('a planned close is waited for', () => {
    const { connection, sockets, greet } = setUp()
    connection.connect()
    const socket = greet()
    socket.get({ t: 'bye', retry_ms: 1500 })
    socket.end(4000)
    vi.advanceTimersByTime(1899)
    expect(sockets).toHaveLength(1)
    vi.advanceTimersByTime(1)
    expect(sockets).toHaveLength(2)
  })

  test('a silent connection is asked and then given up', () => {
    const { connection, sockets, greet } = setUp()
    connection.connect()
    const socket = greet()
    vi.advanceTimersByTime(27_000)
    expect(socket.sent.at(-1)).toEqual({ t: 'ping' })
    socket.get({ t: 'pong' })
    vi.advanceTimersByTime(27_000 + 8_000)
    expect(socket.closed).toBe(true)
    vi.advanceTimersByTime(400)
    expect(sockets).toHaveLength(2)
  })

  test('coming back online tries at once, and a late close of the old socket changes nothing', () => {
    const { connection, sockets, greet } = setUp()
    connection.connect()
    const old = greet()
    connection.wake()
    vi.advanceTimersByTime(8_001)
    expect(connection.state).toBe('waiting')
    connection.wake()
    const fresh = greet()
    old.end(1006)
    old.get({ t: 'db', state: 'down' })
    expect(connection.state).toBe('open')
    expect(sockets.at(-1)).toBe(fresh)
  })
})
