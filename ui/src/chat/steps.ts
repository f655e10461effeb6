/** The keys by which one goes through the messages, which are fetched after them. */
import { tick } from 'svelte'

interface Place {
  scroller: HTMLElement
  content: HTMLElement
  singleKeys: boolean
  toNewest: () => void
}

/** From row to row; one that is longer than the view is scrolled first. Enter, ←, →, C and E do what their buttons do. */
export function step(event: KeyboardEvent, { scroller, content, singleKeys, toNewest }: Place): void {
  const row = event.target instanceof HTMLElement && event.target.dataset.key ? event.target : null
  if (!row || event.altKey || event.ctrlKey || event.metaKey) return
  const [box, view] = [row.getBoundingClientRect(), scroller.getBoundingClientRect()]
  const rows = (): HTMLElement[] => [...content.querySelectorAll<HTMLElement>('[data-key]:not(.behind)')]
  let to: HTMLElement | undefined
  if (event.key === 'ArrowUp' && box.top >= view.top - 1) to = rows()[rows().indexOf(row) - 1]
  else if (event.key === 'ArrowDown' && box.bottom <= view.bottom + 1) to = rows()[rows().indexOf(row) + 1]
  else if (event.key === 'Home') to = rows()[0]
  else if (event.key === 'End') {
    event.preventDefault()
    toNewest()
    void tick().then(() => rows().at(-1)?.focus({ preventScroll: true }))
  }
  else if (event.key === 'Enter') press(row, row.dataset.testid === 'run' ? 'run-head' : 'message-more', event)
  else if (event.key === 'ArrowLeft') press(row, 'version-previous', event)
  else if (event.key === 'ArrowRight') press(row, 'version-next', event)
  else if (event.key === 'c' && singleKeys) press(row, 'message-copy', event)
  else if (event.key === 'e' && singleKeys) press(row, 'edit-open', event)
  if (!to) return
  event.preventDefault()
  to.focus({ preventScroll: true })
  to.scrollIntoView({ block: 'nearest' })
}

function press(row: HTMLElement, testid: string, event: KeyboardEvent): void {
  const button = row.querySelector<HTMLElement>(`[data-testid="${testid}"]`)
  if (!button) return
  event.preventDefault()
  button.click()
}
