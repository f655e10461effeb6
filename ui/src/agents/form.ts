/** What is written in the form of an agent, where it differs from the card, and what of it cannot be. */
import type { Agent, Card } from '../lib/protocol'
import type { Changes } from '../lib/server/agents'
import { say } from '../lib/texts-agents'

export interface Form {
  name: string
  handle: string
  persona: string
  model: string
  description: string
  greeting: string
  examples: string
  post_history: string
  /** Numbers as they are written. */
  temperature: string
  max_tokens: string
  messages: string
  tokens: string
  tags: string
  auto_join: boolean
  default: boolean
  /** Whether a program answers, and no model. */
  bot: boolean
  audience: Agent['audience']
  people: string[]
}
export type FieldName = keyof Form
export type Errors = Partial<Record<FieldName, string>>

export const MOST = { name: 200, handle: 32, persona: 200_000, description: 2_000, greeting: 20_000, examples: 100_000, post_history: 20_000, tags: 1_000 }
/** What stands behind *More…*. */
export const FURTHER: readonly FieldName[] = [
  'description', 'greeting', 'examples', 'post_history', 'temperature', 'max_tokens', 'messages', 'tokens', 'tags', 'audience', 'people', 'auto_join', 'default',
]
const [TAGS_MAX, TAG_CHARS_MAX, TEMPERATURE_MAX] = [20, 40, 2]
const COUNTS = { max_tokens: 10_000_000, messages: 10_000, tokens: 10_000_000 }

const written = (value: unknown): string => (typeof value === 'number' ? String(value) : '')

export function formOf(card: Card & Partial<Pick<Agent, 'audience' | 'people'>>): Form {
  return {
    name: card.name,
    handle: card.handle ?? '',
    persona: card.persona ?? '',
    model: card.model ?? '',
    description: card.description,
    greeting: card.greeting,
    examples: card.examples ?? '',
    post_history: card.post_history ?? '',
    temperature: written(card.parameters.temperature),
    max_tokens: written(card.parameters.max_tokens),
    messages: written(card.context.messages),
    tokens: written(card.context.tokens),
    tags: card.tags.join(', '),
    auto_join: card.auto_join,
    default: card.default,
    bot: card.bot,
    audience: card.audience ?? 'me',
    people: card.people ?? [],
  }
}

export const BLANK: Form = {
  name: '', handle: '', persona: '', model: '', description: '', greeting: '', examples: '', post_history: '', temperature: '', max_tokens: '', messages: '', tokens: '', tags: '',
  auto_join: false, default: false, bot: false, audience: 'me', people: [],
}

/** What another card has beside what the form shows, such as more parameters. */
export type Beside = Pick<Card, 'parameters' | 'context'>
export const NOTHING: Beside = { parameters: {}, context: { messages: null, tokens: null } }

export function alike(one: Form, other: Form): boolean {
  return JSON.stringify(one) === JSON.stringify(other)
}

const number = (text: string): number | null => (text.trim() === '' ? null : Number(text.replace(',', '.')))
const tagsOf = (text: string): string[] => [...new Set(text.split(',').map((tag) => tag.trim()).filter(Boolean))]

/** What of it is not as it was. */
export function changesOf(before: Form, after: Form, beside: Beside): Changes {
  const differs = (...names: FieldName[]): boolean => names.some((name) => JSON.stringify(before[name]) !== JSON.stringify(after[name]))
  const made: Changes = {}
  for (const name of ['name', 'persona', 'description', 'greeting', 'examples', 'post_history', 'audience', 'auto_join', 'default', 'bot'] as const) {
    if (differs(name)) Object.assign(made, { [name]: after[name] })
  }
  if (differs('handle')) made.handle = after.handle.trim().replace(/^@/, '') || null
  if (differs('model')) made.model = after.model || null
  if (differs('tags')) made.tags = tagsOf(after.tags)
  if (differs('people', 'audience') && after.audience === 'some') made.people = after.people
  if (differs('messages', 'tokens')) made.context = { messages: number(after.messages), tokens: number(after.tokens) }
  if (differs('temperature', 'max_tokens')) {
    const given = { ...beside.parameters, temperature: number(after.temperature), max_tokens: number(after.max_tokens) }
    made.parameters = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== null))
  }
  return made
}

/** What a new agent of this name is called if nobody is yet, as the server makes it. */
export function handleLike(name: string): string {
  const plain = name.normalize('NFKD').replace(/[^\0-\x7f]/g, '').toLowerCase()
  return plain.replace(/[^a-z0-9]+/g, '-').replace(/^-+|-+$/g, '').slice(0, MOST.handle).replace(/-+$/, '')
}

/** What is wrong and can be known here. */
export function mistakes(form: Form): Errors {
  const found: Errors = {}
  if (form.name.trim() === '') found.name = say.errors.name
  const temperature = number(form.temperature)
  if (temperature !== null && !(temperature >= 0 && temperature <= TEMPERATURE_MAX)) found.temperature = say.errors.temperature
  for (const [name, most] of Object.entries(COUNTS) as [keyof typeof COUNTS, number][]) {
    const count = number(form[name])
    if (count !== null && !(Number.isInteger(count) && count >= 1 && count <= most)) found[name] = say.errors.count(most.toLocaleString())
  }
  const tags = tagsOf(form.tags)
  if (tags.length > TAGS_MAX || tags.some((tag) => tag.length > TAG_CHARS_MAX)) found.tags = say.errors.tags(TAGS_MAX, TAG_CHARS_MAX)
  if (form.audience === 'some' && form.people.length === 0) found.people = say.errors.people
  return found
}

/** Which field a refusal of the server is about; null: none of them alone. */
export function fieldOf(code: string, changes: Changes): FieldName | null {
  if (code === 'handle_invalid' || code === 'handle_taken') return 'handle'
  if (code === 'name_invalid') return 'name'
  if (code === 'name_reserved') return changes.handle === undefined ? 'name' : 'handle'
  return code === 'not_found' ? 'people' : null
}
