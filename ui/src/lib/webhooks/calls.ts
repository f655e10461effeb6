/** The calls of REST about webhooks: addresses that are told what happens in one's chats. */
import type { Calls } from '../server/calls'
import type { Deliveries, Delivery, MadeWebhook, Webhook, Webhooks } from '../protocol'

/** What a webhook is told of; empty: everything. */
export interface WebhookWish {
  url: string
  types: readonly string[]
  rooms: readonly string[]
}

const at = (id: string, rest = ''): string => `/webhooks/${encodeURIComponent(id)}${rest}`

export async function webhooks(calls: Calls): Promise<Webhook[]> {
  return (await calls.call<Webhooks>('GET', '/webhooks')).webhooks
}

/** A new one, and its secret, which is told this once. */
export function makeWebhook(calls: Calls, wish: WebhookWish): Promise<MadeWebhook> {
  return calls.call('POST', '/webhooks', wish)
}

export function changeWebhook(calls: Calls, id: string, wish: Partial<WebhookWish> & { enabled?: boolean }): Promise<Webhook> {
  return calls.call('PATCH', at(id), wish)
}

/** Another secret, which is told this once. */
export function rotateSecret(calls: Calls, id: string): Promise<MadeWebhook> {
  return calls.call('POST', at(id, '/rotate'))
}

export function testWebhook(calls: Calls, id: string): Promise<Delivery> {
  return calls.call('POST', at(id, '/test'))
}

export function removeWebhook(calls: Calls, id: string): Promise<void> {
  return calls.call('DELETE', at(id))
}

export function deliveries(calls: Calls, id: string, before: number | null): Promise<Deliveries> {
  return calls.call('GET', at(id, `/deliveries?limit=20${before === null ? '' : `&before=${before}`}`))
}

export function replay(calls: Calls, id: string, delivery: string): Promise<Delivery> {
  return calls.call('POST', at(id, `/deliveries/${encodeURIComponent(delivery)}/replay`))
}
