/**
 * The state of the page that is not the server's: where we are, theme, drawer, palette, toasts, the clock.
 */
import { getContext, setContext } from 'svelte'
import { parseRoute, routePath, type Route } from './lib/route'
import { problemText } from './lib/errors'
import type { Session } from './lib/session'
import { copyText } from './markdown/copy'

export type Theme = 'system' | 'light' | 'dark'

export interface Toast {
  id: number
  text: string
  undo: (() => void) | null
}

const THEME_KEY = 'palaver.theme'
const TOAST_MS = 5000
const TOAST_UNDO_MS = 10_000

export class PageState {
  readonly session: Session
  route: Route = $state.raw(parseRoute(location.pathname))
  theme: Theme = $state(readTheme())
  drawer = $state(false)
  palette = $state(false)
  settings = $state(false)
  /** How a program uses this server. */
  connect = $state(false)
  /** The exchange whose request and response are looked at. */
  inspected: string | null = $state(null)
  toasts: Toast[] = $state.raw([])
  /** Ticks each half minute, for relative times. */
  now: Date = $state.raw(new Date())
  /** The room whose title is being edited in the list. */
  renaming: string | null = $state(null)
  /** Text handed to the composer, for instance a refused message that is to be edited. */
  draft: { room: string | null; text: string } | null = $state.raw(null)
  /** A part of the page could not be fetched: most likely the server has a newer page. */
  outdated = $state(false)
  #toastId = 0

  constructor(session: Session) {
    this.session = session
    addEventListener('popstate', () => {
      this.route = parseRoute(location.pathname)
    })
    addEventListener('vite:preloadError', () => {
      this.outdated = true
    })
    setInterval(() => {
      this.now = new Date()
    }, 30_000)
  }

  go(room: string | null, seq: number | null = null, replace = false): void {
    const path = routePath(room, seq)
    if (path !== location.pathname) history[replace ? 'replaceState' : 'pushState'](null, '', path)
    this.route = { room, seq }
    this.drawer = false
  }

  setTheme(theme: Theme): void {
    this.theme = theme
    if (theme === 'system') delete document.documentElement.dataset.theme
    else document.documentElement.dataset.theme = theme
    try {
      localStorage.setItem(THEME_KEY, theme)
    } catch {
      // Then the choice lasts as long as this page.
    }
  }

  toast(text: string, undo: (() => void) | null = null): void {
    const id = ++this.#toastId
    this.toasts = [...this.toasts.slice(-2), { id, text, undo }]
    setTimeout(() => this.dismiss(id), undo ? TOAST_UNDO_MS : TOAST_MS)
  }

  dismiss(id: number): void {
    this.toasts = this.toasts.filter((toast) => toast.id !== id)
  }

  /** Says in words why something failed. */
  report = (error: unknown): void => this.toast(problemText(error))

  async deleteRoom(id: string, title: string): Promise<void> {
    const wasOpen = this.route.room === id
    if (wasOpen) this.go(null)
    try {
      await this.session.deleteRoom(id)
      this.toast(`“${title}” was deleted.`, () => {
        this.session.restoreRoom(id).then(() => {
          if (wasOpen) this.go(id)
        }, this.report)
      })
    } catch (error) {
      this.report(error)
    }
  }

  async copy(text: string, said: string): Promise<void> {
    const copied = await copyText(text).catch(() => false)
    this.toast(copied ? said : 'The browser did not allow copying.')
  }
}

const KEY = Symbol('page')

export function providePage(page: PageState): PageState {
  return setContext(KEY, page)
}

export function usePage(): PageState {
  return getContext<PageState>(KEY)
}

function readTheme(): Theme {
  const theme = document.documentElement.dataset.theme
  return theme === 'light' || theme === 'dark' ? theme : 'system'
}
