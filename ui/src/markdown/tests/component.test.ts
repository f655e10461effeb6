/** The component on a page: text first, then Markdown; finished elements stay; the button copies. */
import { flushSync, mount, unmount } from 'svelte'
import { afterEach, expect, test, vi } from 'vitest'
import { lazyEngine } from '../lazy.svelte'
import Markdown from '../Markdown.svelte'
import Host from './Host.svelte'

let opened: Record<string, unknown>[] = []

afterEach(async () => {
  await Promise.all(opened.map((component) => unmount(component)))
  opened = []
  document.body.replaceChildren()
})

function show(text: string): HTMLElement {
  opened.push(mount(Markdown, { target: document.body, props: { text } }))
  flushSync()
  return document.body
}

test('shows plain text until the engine is here, then Markdown', async () => {
  const body = show('**bold**\nline')
  expect(body.querySelector('.md-plain')?.textContent).toBe('**bold**\nline')
  await lazyEngine.load()
  flushSync()
  expect(body.querySelector('strong')?.textContent).toBe('bold')
})

test('draws formulas and colours code when what they need has come', async () => {
  const body = show('$x^2$\n\n```python\nimport os\n```')
  await vi.waitFor(() => {
    flushSync()
    expect(body.querySelector('math')).not.toBeNull()
    expect(body.querySelector('.hljs-keyword')?.textContent).toBe('import')
  })
})

test('leaves the elements of finished blocks in place while the text grows', async () => {
  await lazyEngine.load()
  const host = mount(Host, { target: document.body, props: { first: '# Title\n\nFirst.\n\nSec' } }) as Record<string, unknown> & {
    grow: (more: string) => void
  }
  opened.push(host)
  flushSync()
  const [title, first, second] = document.body.querySelectorAll('h1, p')
  host.grow('ond **pa')
  await vi.waitFor(() => expect(document.body.querySelector('strong')?.textContent).toBe('pa'))
  const [titleAfter, firstAfter, secondAfter] = document.body.querySelectorAll('h1, p')
  expect(titleAfter).toBe(title)
  expect(firstAfter).toBe(first)
  expect(secondAfter).not.toBe(second)
})

test('gives each block its own direction', async () => {
  await lazyEngine.load()
  const blocks = show('سلام\n\nhello').querySelectorAll('.md-block')
  expect(Array.from(blocks, (block) => block.getAttribute('dir'))).toEqual(['auto', 'auto'])
})

test('the button copies the exact code and says so', async () => {
  await lazyEngine.load()
  const written: string[] = []
  vi.stubGlobal('navigator', { clipboard: { writeText: async (text: string) => void written.push(text) } })
  const code = 'if a < b && c:\n\n\tprint("é")  '
  const button = show('```\n' + code + '\n```').querySelector<HTMLButtonElement>('.md-copy')
  button?.click()
  await vi.waitFor(() => expect(button?.textContent).toBe('Copied'))
  expect(written).toEqual([code])
  vi.unstubAllGlobals()
})
