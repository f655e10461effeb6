/**
 * The state of the page that is not the server's: where we are, theme, drawer, palette, toasts, the clock.
 */
import { getContext, setContext } from 'svelte'
import { MediaQuery } from 'svelte/reactivity'
import { parseRoute, routePath, type Route } from './lib/route'
import { problemText } from './lib/errors'
import type { Session } from './lib/session'
import { copyText } from './markdown/copy'

export type Theme = 'system' | 'light' | 'dark'

export interface Toast {
  id: number
  text: string
  undo: (() => void) | null
  ms: number
}

/** What lies over the page, one at a time. Each is an entry of the browser's history, so that Back closes it. */
export type Over = 'palette' | 'settings' | 'shortcuts' | 'connect' | 'devices' | `exchange:${string}`

const THEME_KEY = 'palaver.theme'
const TOAST_MS = 5000
const TOAST_UNDO_MS = 10_000

export class PageState {
  readonly session: Session
  route: Route = $state.raw(parseRoute(location.pathname))
  theme: Theme = $state(readTheme())
  drawer = $state(false)
  over: Over | null = $state(null)
  toasts: Toast[] = $state.raw([])
  /** Ticks each half minute, for relative times. */
  now: Date = $state.raw(new Date())
  /** The room whose title is being edited in the list. */
  renaming: string | null = $state(null)
  /** Text handed to the composer, for instance a refused message that is to be edited. */
  draft: { room: string | null; text: string } | null = $state.raw(null)
  /** A part of the page could not be fetched: most likely the server has a newer page. */
  outdated = $state(false)
  /** The list of chats is a drawer. */
  readonly narrow = new MediaQuery('width < 860px')
  #toastId = 0
  /** The browser was asked to go back and has not gone yet; what wants to go elsewhere waits. */
  #returning = false
  #waiting: (() => void)[] = []

  constructor(session: Session) {
    this.session = session
    if (isOver(history.state)) history.replaceState(null, '')
    addEventListener('popstate', () => {
      this.over = isOver(history.state) ? history.state.over : null
      this.route = parseRoute(location.pathname)
      this.#returning = false
      for (const step of this.#waiting.splice(0)) step()
    })
    addEventListener('vite:preloadError', () => {
      this.outdated = true
    })
    setInterval(() => {
      this.now = new Date()
    }, 30_000)
  }

  go(room: string | null, seq: number | null = null, replace = false): void {
    this.visit(routePath(room, seq), replace)
  }

  visit(path: string, replace = false): void {
    this.#settled(() => {
      const over = isOver(history.state)
      if (over || path !== location.pathname) history[replace || over ? 'replaceState' : 'pushState'](null, '', path)
      this.over = null
      this.route = parseRoute(path)
      this.drawer = false
    })
  }

  open(over: Over): void {
    this.#settled(() => {
      history[isOver(history.state) ? 'replaceState' : 'pushState']({ over }, '')
      this.over = over
    })
  }

  /** Closes what lies over the page; what comes `then`, after the focus was given back, may go elsewhere. */
  close(then?: () => void): void {
    this.over = null
    setTimeout(() => {
      then?.()
      if (this.over !== null || this.#returning || !isOver(history.state)) return
      this.#returning = true
      history.back()
    })
  }

  #settled(step: () => void): void {
    if (this.#returning) this.#waiting.push(step)
    else step()
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
    this.toasts = [...this.toasts.slice(-2), { id, text, undo, ms: undo ? TOAST_UNDO_MS : TOAST_MS }]
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

function isOver(state: unknown): state is { over: Over } {
  return typeof state === 'object' && state !== null && 'over' in state
}

function readTheme(): Theme {
  const theme = document.documentElement.dataset.theme
  return theme === 'light' || theme === 'dark' ? theme : 'system'
}
