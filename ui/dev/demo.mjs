/**
 * A scripted stand-in for the server, to design the page against: `npm run demo`, then open the address
 * it prints. It speaks docs/protocol.md from memory, keeps nothing, and has a room of 100,000 messages.
 * What one writes steers it: "fail", "slow", "reject", "drop" (ends the connection), "db" (goes away).
 */
import { existsSync, readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { extname, join } from 'node:path'
import { WebSocketServer } from 'ws'

const PAGE = process.env.PALAVER_PAGE ?? join(import.meta.dirname, '../../src/palaver/page')
const CSP = "default-src 'none'; img-src 'self' data: blob:; style-src 'self'; script-src 'self'; connect-src 'self'; font-src 'self'"
const TYPES = { '.html': 'text/html', '.js': 'text/javascript', '.css': 'text/css', '.svg': 'image/svg+xml', '.woff2': 'font/woff2' }
const PORT = Number(process.env.PORT ?? 8000)
const BOT = { id: 'a_1', name: 'Assistant' }
const me = { id: 'u_me', name: 'Guest 4f2a', kind: 'person', guest: true }
const ANSWER = `Here is a **plan** with the parts that matter.

## A small table
| Day | Where | Cost |
|---|---|---:|
| Friday | Lisbon, Alfama | €42 |
| Saturday | Sintra by train | €18 |

1. Take the early train.
2. Walk *down*, not up.

\`\`\`python
def greet(name: str) -> str:
    """Say hello."""
    return f"Hello, {name}!"
\`\`\`

The sum is $e^{i\\pi} + 1 = 0$, and that is all there is to it.`

const rooms = new Map()
const sockets = new Set()
const streams = new Map()
let made = 0
const now = (ago = 0) => new Date(Date.now() - ago).toISOString()
const say = (room, by, name, role, text, more = {}) => {
  const message = { id: `m_${++made}`, room: room.id, seq: room.seq + 1, by, name, role, kind: 'text', status: 'done', text, cid: null,
    reply_to: null, branch: 0, at: now(), edited_at: null, deleted_at: null, meta: {}, ...more }
  room.messages.push(message)
  emit(room, 'message.created', by, message)
  return message
}
const push = (frame) => sockets.forEach((socket) => socket.send(JSON.stringify(frame)))
const emit = (room, k, by, d) => {
  room.seq += 1
  const event = { room: room.id, seq: room.seq, k, at: now(), by, d }
  room.events.push(event)
  if (k === 'message.created') room.active_at = event.at
  push({ t: 'ev', ...event })
  push({ t: 'room', room: room.id, seq: room.seq, at: event.at, new: by === me.id ? 0 : 1, k: [k] })
}
const addRoom = (title, more = {}) => {
  const room = { id: `r_${++made}`, title, visibility: 'private', role: 'owner', seq: 0, created_at: now(), active_at: now(), deleted_at: null,
    read_seq: 0, unread: 0, agents: [BOT], door: null, messages: [], events: [], ...more }
  rooms.set(room.id, room)
  return room
}
const shown = ({ messages, events, ...room }) => room
const fill = (room, count, every) => {
  const who = [['u_ada', 'Ada Lovelace', 'user'], ['u_bo', 'Bo', 'user'], [me.id, me.name, 'user'], ['a_1', 'Assistant', 'assistant']]
  for (let index = 0; index < count; index++) {
    const [by, name, role] = who[(index * 7 + (index >> 2)) % 4]
    const text = role === 'assistant' && index % 5 === 3 ? ANSWER : `Message ${index + 1}. ` + 'Some words that fill a line or two. '.repeat(index % 6)
    room.messages.push({ id: `m_${++made}`, room: room.id, seq: ++room.seq, by, name, role, kind: 'text', status: 'done', text, cid: null, reply_to: null,
      branch: 0, at: now((count - index) * every), edited_at: null, deleted_at: null, meta: role === 'assistant' ? { model: 'demo-1', ms: { total: 1840 } } : {} })
  }
  room.read_seq = room.seq
}
fill(addRoom('Lobby', { visibility: 'open', role: 'member' }), 30, 600_000)
fill(addRoom('A hundred thousand messages', { active_at: now(3_600_000), id: 'r_big' }), 100_000, 60_000)
for (const [index, title] of ['Holiday plans', 'Why is the sky blue?', 'خطة السفر إلى لشبونة', 'A very long title that says much more than any title should ever need to say', '<b>not bold</b>', ''].entries()) {
  const room = addRoom(title, { active_at: now(index * 40_000_000) })
  fill(room, index === 4 ? 0 : 12, 90_000_000)
  if (index === 1) Object.assign(room, { read_seq: room.seq - 3, unread: 3 })
}
const API = addRoom('What is the weather in Oslo?', { id: 'r_api', door: 'openai', visibility: 'open', role: 'member', active_at: now(60_000) })
const PIXELS = 'data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAIAAAACCAIAAAD91JpzAAAAFklEQVR4nGP8z8DAwMDAxMDAwMDAAAANHQEDasKb6QAAAABJRU5ErkJggg=='
for (const [role, kind, text, meta = {}] of [
  ['system', 'text', 'You are a weather service.\n\nAnswer in one sentence. Use the tools; never guess.'],
  ['user', 'text', 'What is the weather in Oslo and in Bergen? Here is my sky.', { name: 'station-7', parts: [{ type: 'image_url', image_url: { url: PIXELS } }, { type: 'file', file: { filename: 'plan.pdf' } }] }],
  ['assistant', 'reasoning', 'The user wants two places. I call the tool twice.', { exchange: 'x_1' }],
  ['assistant', 'tool_call', '{"city":"Oslo","units":{"temperature":"celsius","wind":"m/s"},"hours":[6,12,18]}', { call_id: 'c1', tool: 'get_weather', exchange: 'x_1' }],
  ['assistant', 'tool_call', '{"city":"Bergen"}', { call_id: 'c2', tool: 'get_weather', exchange: 'x_1' }],
  ['tool', 'tool_result', '{"celsius":-4,"sky":"clear"}', { call_id: 'c1' }],
  ['tool', 'tool_result', 'No such station.', { call_id: 'c9' }],
  ['assistant', 'text', 'Oslo is clear at **−4 °C**; nothing is known of Bergen.', { exchange: 'x_2', model: 'demo-1', ms: { total: 1840 } }],
  ['assistant', 'text', 'Clear and −4 °C in Oslo. Bergen did not answer.', { exchange: 'x_2', choice: 1 }],
  ['user', 'text', 'Now something forbidden.'],
  ['assistant', 'text', '', { refusal: 'I cannot help with that.', exchange: 'x_3' }],
  ['assistant', 'item', '', { item: { type: 'web_search_call', id: 'ws_1', status: 'completed' } }],
]) {
  const [by, name] = role === 'assistant' ? ['a_1', 'Assistant'] : ['u_api', 'Weather station']
  say(API, by, name, role, text, { kind, meta })
}
for (let index = 0; index < 60; index++) addRoom(`Older chat ${index}`, { active_at: now(86_400_000 * (5 + index)) })

const answer = (room, after, wish) => {
  const id = `m_${++made}`
  const stream = { msg: id, turn: `t_${id}`, by: BOT.id, name: BOT.name, after, n: 0, text: '', reasoning: '', room: room.id }
  streams.set(stream.turn, stream)
  push({ t: 's.open', room: room.id, msg: id, turn: stream.turn, by: BOT.id, name: BOT.name, after })
  const full = wish.includes('slow') ? `${ANSWER}\n\n`.repeat(5) : ANSWER
  const end = (status, meta = {}) => {
    clearInterval(stream.timer)
    streams.delete(stream.turn)
    say(room, BOT.id, BOT.name, 'assistant', stream.text, { id, status, meta: { model: 'demo-1', reasoning: stream.reasoning || undefined, ms: { total: 1840 }, ...meta } })
    if (!room.title) emit(room, 'room.renamed', BOT.id, { title: (room.title = wish.slice(0, 40)), source: 'model' })
  }
  stream.stop = () => end('stopped')
  stream.timer = setInterval(() => {
    stream.n += 1
    const r = stream.n < 15 ? 'hmm, ' : undefined
    const x = r ? undefined : full.slice(stream.text.length, stream.text.length + 9)
    stream.reasoning += r ?? ''
    stream.text += x ?? ''
    push({ t: 's.d', room: room.id, msg: id, n: stream.n, x, r })
    if (wish.includes('fail') && stream.text.length > 120) end('failed', { error: { code: 'provider_timeout', temporary: true } })
    else if (stream.text.length >= full.length) end('done')
  }, 25)
}
const page = (room, search) => {
  const limit = Number(search.get('limit') ?? 50)
  const at = (seq) => room.messages.findIndex((message) => message.seq >= seq) >>> 0
  const size = room.messages.length
  let from = 0
  if (search.has('after')) from = Math.min(size, at(Number(search.get('after')) + 1))
  else if (search.has('around')) from = Math.max(0, Math.min(size, at(Number(search.get('around')))) - (limit >> 1))
  const to = search.has('before') || from + limit > size ? Math.min(size, search.has('before') ? at(Number(search.get('before'))) : size) : from + limit
  if (search.has('before')) from = Math.max(0, to - limit)
  const messages = room.messages.slice(from, to)
  return { messages, before: from > 0 ? messages[0]?.seq ?? null : null, after: to < size ? messages.at(-1)?.seq ?? null : null }
}
const rest = (method, url, body) => {
  const [, , noun, id, action] = url.pathname.split('/')
  const room = id && rooms.get(id)
  if (noun === 'me') return Object.assign(me, body)
  if (noun === 'models') return { models: [{ id: 'demo-1', provider: 'echo', default: true }], provider: 'echo', hint: 'This is the offline echo. Set OPENAI_BASE_URL to connect a model.' }
  if (noun === 'exchanges') return { id, name: 'chatcmpl-8f2e1c', kind: 'chat', state: 'completed', model: 'demo-1', created_at: now(), ended_at: now(), ms: 1840,
    finish: 'stop', usage: { prompt_tokens: 120, completion_tokens: 18 }, request: { model: 'demo-1', stream: true, messages: API.messages.slice(0, 5).map(({ role, text }) => ({ role, content: text })) },
    response: { id: 'chatcmpl-8f2e1c', object: 'chat.completion', choices: [{ index: 0, message: { role: 'assistant', content: 'Oslo is clear.' }, finish_reason: 'stop' }] } }
  if (noun !== 'rooms' || (id && !room)) return null
  if (!id && method === 'POST') return shown(addRoom(body.title ?? ''))
  if (!id) {
    const wanted = (url.searchParams.get('search') ?? '').toLowerCase()
    const all = [...rooms.values()].filter((r) => !r.deleted_at && r.title.toLowerCase().includes(wanted)).sort((a, b) => (a.active_at < b.active_at ? 1 : -1))
    const from = Number(url.searchParams.get('cursor') ?? 0)
    const to = from + Number(url.searchParams.get('limit') ?? 20)
    return { rooms: all.slice(from, to).map(shown), next: to < all.length ? String(to) : null }
  }
  if (action === 'messages') return page(room, url.searchParams)
  if (method === 'PATCH') emit(room, 'room.renamed', me.id, { title: (room.title = body.title), source: 'user' })
  if (method === 'DELETE') room.deleted_at = now()
  if (action === 'restore') room.deleted_at = null
  return shown(room)
}
const server = createServer(async (request, response) => {
  const url = new URL(request.url, 'http://x')
  if (url.pathname.startsWith('/api/')) {
    let body = ''
    for await (const chunk of request) body += chunk
    const found = rest(request.method, url, body ? JSON.parse(body) : {})
    response.writeHead(found ? 200 : 404, { 'Content-Type': 'application/json' })
    return response.end(JSON.stringify(found ?? { code: 'room_not_found', status: 404, temporary: false }))
  }
  const file = join(PAGE, url.pathname)
  const path = extname(file) && existsSync(file) ? file : join(PAGE, 'index.html')
  response.writeHead(200, { 'Content-Type': TYPES[extname(path)] ?? 'text/plain', 'Content-Security-Policy': CSP })
  response.end(readFileSync(path))
})
const requests = {
  hello: () => ({ t: 'welcome', v: 1, epoch: 'e_1', me, ping: 25, limits: { frame: 65536, text: 10000, inflight: 32, rooms: 64 }, db: 'up' }),
  watch: () => ({ t: 'ok' }),
  unsub: () => ({ t: 'ok' }),
  sub: ({ room: id, since }) => {
    const room = rooms.get(id)
    if (!room || room.deleted_at) return { t: 'err', code: 'room_not_found', temporary: false }
    const running = [...streams.values()].filter((s) => s.room === id).map(({ timer, stop, ...s }) => s)
    const first = room.messages.slice(-50)
    const base = { t: 'sub', room: id, seq: room.seq, streams: running }
    if (since !== undefined) return { ...base, mode: 'resume', events: room.events.filter((event) => event.seq > since) }
    return { ...base, mode: 'reset', reason: 'new', messages: first, before: room.messages.length > 50 ? first[0].seq : null }
  },
  send: ({ room: id, cid, text }, socket) => {
    const room = rooms.get(id)
    const known = room.messages.find((message) => message.cid === cid)
    if (known) return { t: 'ack', cid, state: 'stored', msg: known.id, seq: known.seq, dup: true }
    if (text.includes('reject')) return { t: 'err', code: 'text_too_long', temporary: false }
    if (text.includes('drop')) setTimeout(() => socket.terminate(), 0)
    if (text.includes('db')) ['down', 'up'].forEach((state, index) => setTimeout(() => push({ t: 'db', state }), index * 4000))
    const message = say(room, me.id, me.name, 'user', text, { cid })
    if (!text.includes('quiet')) setTimeout(() => answer(room, message.seq, text), 150)
    setTimeout(() => push({ t: 'typing', room: id, by: 'u_ada', name: 'Ada Lovelace' }), 300)
    return { t: 'ack', cid, state: 'stored', msg: message.id, seq: message.seq, dup: false }
  },
  stop: ({ turn }) => (streams.get(turn)?.stop(), { t: 'ok' }),
  retry: ({ msg }) => {
    const room = [...rooms.values()].find((candidate) => candidate.messages.some((message) => message.id === msg))
    const old = room.messages.find((message) => message.id === msg)
    Object.assign(old, { deleted_at: now(), text: '' })
    emit(room, 'message.deleted', me.id, { msg, seq: old.seq })
    setTimeout(() => answer(room, old.seq, 'again'), 100)
    return { t: 'ok', turn: 't_x' }
  },
}
new WebSocketServer({ server, path: '/ws' }).on('connection', (socket) => {
  sockets.add(socket)
  socket.on('close', () => sockets.delete(socket))
  socket.on('message', (data) => {
    const frame = JSON.parse(data)
    if (frame.t === 'ping') socket.send('{"t":"pong"}')
    if (frame.t === 'read' && rooms.get(frame.room)) Object.assign(rooms.get(frame.room), { read_seq: frame.seq, unread: 0 })
    const reply = requests[frame.t]?.(frame, socket)
    if (reply) socket.send(JSON.stringify({ ...reply, id: frame.id }))
    if (frame.t === 'hello') for (const [room, since] of Object.entries(frame.last?.rooms ?? {})) socket.send(JSON.stringify(requests.sub({ room, since })))
  })
})
server.listen(PORT, '127.0.0.1', () => console.log(`http://127.0.0.1:${PORT}`))
