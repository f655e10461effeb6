/**
 * The life of the one WebSocket: hello and welcome, requests and their replies, pings, reconnecting.
 *
 * Theory of operation. The state goes  waiting → connecting → open → waiting → …  and ends in
 * `stopped` when the server closes with 4500 or above. While `waiting`, the next try comes after an
 * exponential delay with jitter, or at once when the browser says it is online or visible again.
 * A connection that has been silent for longer than the server's ping interval is asked with a
 * `ping`; without an answer it is given up, since a dead network closes no socket.
 *
 * It does not know rooms: it passes every push to `onPush`, and asks `last` what to resume.
 */
import { Emitter } from '../emitter'
import { Problem } from './errors'
import type { ErrorFrame, Push, Reply, Request, Welcome } from '../protocol'

export type ConnectionState = 'waiting' | 'connecting' | 'open' | 'stopped'

/** The part of a browser's WebSocket that is used. */
export interface Socket {
  readonly readyState: number
  onopen: ((event: never) => void) | null
  onmessage: ((event: { data: unknown }) => void) | null
  onclose: ((event: { code: number }) => void) | null
  onerror: ((event: never) => void) | null
  send(data: string): void
  close(code?: number): void
}

export interface ConnectionOptions {
  open: () => Socket
  /** What the client has, so that the server can resume it. */
  last: () => { epoch: string; rooms: Record<string, number> } | null
  onWelcome: (welcome: Welcome) => void
  onPush: (push: Push) => void
  onLost: () => void
  random?: () => number
}

interface Waiting {
  resolve: (reply: Reply) => void
  reject: (problem: Problem) => void
  timer: ReturnType<typeof setTimeout>
}

const BACKOFF_FIRST_MS = 400
const BACKOFF_MAX_MS = 15_000
const REQUEST_MS = 20_000
const WELCOME_MS = 10_000
const PONG_MS = 8_000
const OPEN = 1
const PERMANENT_FROM = 4500
const PERMANENT_TO = 4999

export class Connection {
  readonly changed = new Emitter()
  state: ConnectionState = 'waiting'
  /** Failed tries since the last welcome. */
  attempts = 0
  closeCode: number | null = null

  #options: ConnectionOptions
  #socket: Socket | null = null
  #nextId = 1
  #waiting = new Map<number, Waiting>()
  #retryTimer: ReturnType<typeof setTimeout> | undefined
  #silenceTimer: ReturnType<typeof setTimeout> | undefined
  #pingSeconds = 25
  #byeMs: number | null = null

  constructor(options: ConnectionOptions) {
    this.#options = options
  }

  /** Opens now, unless it is open, opening or stopped for good. */
  connect(): void {
    if (this.state !== 'waiting') return
    clearTimeout(this.#retryTimer)
    this.#set('connecting')
    let socket: Socket
    try {
      socket = this.#options.open()
    } catch {
      this.#lost(null)
      return
    }
    this.#socket = socket
    socket.onopen = () => this.#hello(socket)
    socket.onmessage = (event) => {
      if (this.#socket === socket) this.#receive(event.data)
    }
    socket.onclose = (event) => {
      if (this.#socket === socket) this.#lost(event.code)
    }
    this.#expect(WELCOME_MS)
  }

  /** The network or the person came back: find out now whether the connection still lives. */
  wake(): void {
    if (this.state === 'waiting') this.connect()
    else if (this.state === 'open') this.#ask()
  }

  /** Ends the connection for good. */
  close(): void {
    const socket = this.#socket
    this.#drop()
    this.#set('stopped')
    socket?.close(1000)
  }

  /** Sends a request; rejects with a temporary Problem when no reply can come any more. */
  request(frame: Request): Promise<Reply> {
    if (this.state !== 'open') return Promise.reject(new Problem('offline', { temporary: true }))
    return this.#request(frame)
  }

  /** Sends a frame that has no reply; without a connection it is dropped. */
  push(frame: { t: string } & Record<string, unknown>): void {
    if (this.state === 'open') this.#write(frame)
  }

  #request(frame: object): Promise<Reply> {
    const id = this.#nextId++
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#waiting.delete(id)
        reject(new Problem('timeout', { temporary: true }))
      }, REQUEST_MS)
      this.#waiting.set(id, { resolve, reject, timer })
      this.#write({ ...frame, id })
    })
  }

  #write(frame: object): void {
    if (this.#socket?.readyState === OPEN) this.#socket.send(JSON.stringify(frame))
  }

  #hello(socket: Socket): void {
    if (this.#socket !== socket) return
    const last = this.#options.last()
    this.#request({ t: 'hello', v: 1, ...(last ? { last } : {}) }).catch((problem: Problem) => {
      // A refusal for good is followed by the close code that says so.
      if (problem.temporary) this.#giveUp()
    })
  }

  #receive(data: unknown): void {
    let frame: { t?: unknown; id?: unknown }
    try {
      frame = JSON.parse(String(data)) as typeof frame
    } catch {
      return
    }
    if (frame === null || typeof frame !== 'object' || typeof frame.t !== 'string') return
    if (this.state === 'open') this.#expectSilence()
    if (frame.t === 'welcome') this.#welcomed(frame as Welcome)
    if (typeof frame.id === 'number') {
      this.#settle(frame.id, frame as Reply | ErrorFrame)
      return
    }
    const push = frame as Push
    if (push.t === 'ping') this.#write({ t: 'pong' })
    else if (push.t === 'bye') this.#byeMs = push.retry_ms
    else if (push.t !== 'pong') this.#options.onPush(push)
  }

  #welcomed(welcome: Welcome): void {
    this.attempts = 0
    this.closeCode = null
    this.#pingSeconds = welcome.ping || this.#pingSeconds
    this.#set('open')
    this.#expectSilence()
    this.#options.onWelcome(welcome)
  }

  #settle(id: number, frame: Reply | ErrorFrame): void {
    const waiting = this.#waiting.get(id)
    if (!waiting) return
    this.#waiting.delete(id)
    clearTimeout(waiting.timer)
    if (frame.t === 'err') {
      waiting.reject(
        new Problem(frame.code, { temporary: frame.temporary ?? false, retryMs: frame.retry_ms }),
      )
    } else waiting.resolve(frame)
  }

  /** Waits until silence becomes suspicious, then asks. */
  #expectSilence(): void {
    clearTimeout(this.#silenceTimer)
    this.#silenceTimer = setTimeout(() => this.#ask(), this.#pingSeconds * 1000 + 2000)
  }

  #ask(): void {
    this.#write({ t: 'ping' })
    this.#expect(PONG_MS)
  }

  #expect(milliseconds: number): void {
    clearTimeout(this.#silenceTimer)
    this.#silenceTimer = setTimeout(() => this.#giveUp(), milliseconds)
  }

  #giveUp(): void {
    const socket = this.#socket
    if (!socket) return
    this.#lost(null)
    socket.close(1000)
  }

  #drop(): void {
    clearTimeout(this.#silenceTimer)
    clearTimeout(this.#retryTimer)
    this.#socket = null
    for (const { reject, timer } of this.#waiting.values()) {
      clearTimeout(timer)
      reject(new Problem('offline', { temporary: true }))
    }
    this.#waiting.clear()
  }

  #lost(code: number | null): void {
    this.#drop()
    this.closeCode = code
    this.attempts += 1
    const permanent = code !== null && code >= PERMANENT_FROM && code <= PERMANENT_TO
    if (!permanent) this.#retryTimer = setTimeout(() => this.connect(), this.#delay())
    this.#set(permanent ? 'stopped' : 'waiting')
    this.#options.onLost()
  }

  /** Between half and the whole of the exponential step, so that many pages do not come at once. */
  #delay(): number {
    const bye = this.#byeMs ?? 0
    this.#byeMs = null
    const step = Math.min(BACKOFF_MAX_MS, BACKOFF_FIRST_MS * 2 ** Math.min(this.attempts - 1, 10))
    return bye + step * (0.5 + 0.5 * (this.#options.random ?? Math.random)())
  }

  #set(state: ConnectionState): void {
    if (this.state === state) return
    this.state = state
    this.changed.emit()
  }
}
