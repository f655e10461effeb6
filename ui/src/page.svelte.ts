/**
 * The state of the page that is not the server's: where we are, theme, drawer, menu, palette, toasts, the clock.
 */
import { getContext, setContext, tick } from 'svelte'
import { MediaQuery } from 'svelte/reactivity'
import type { Sought } from './find/paint'
import { BASE } from './lib/server/base'
import { Problem, problemText } from './lib/server/errors'
import { parseRoute, routePath, settingsPath, type PanelName, type Route, type SettingsSection } from './lib/route'
import type { Session } from './lib/session'
import { texts } from './lib/texts'
import type { IconName } from './kit/Icon.svelte'
import { copyText } from './markdown/copy'
import { isPart, Views } from './views.svelte'

export type Theme = 'system' | 'light' | 'dark'

export interface Toast {
  id: number
  text: string
  undo: (() => void) | null
  ms: number
}

/** What lies over the page, one at a time. Each is an entry of the browser's history, so that Back closes it. */
export type Over = 'palette' | 'shortcuts' | 'ask' | `${'exchange' | 'history'}:${string}`

/** One thing that can be chosen from a menu. */
export interface MenuItem {
  name: string
  icon: IconName
  testid: string
  danger?: boolean
  /** It is one of many, of which one is `chosen`, and stands under this heading ("": none). */
  group?: string
  chosen?: boolean
  /** It is shown by this emoji, beside others; one that is seldom wanted only where it is looked for. */
  sign?: string
  seldom?: boolean
  run: () => void
}

/** How one of many is found: what the field says, and what is said where none is. */
export interface Find {
  label: string
  nothing: string
}

/** A question before what cannot be undone. */
export interface Question {
  title: string
  text: string
  /** What will be done: the word on the button. */
  verb: string
  /** `given`: what was written where it asks for a password. */
  run: (given: string) => void | Promise<void>
  /** It asks for a password: what that is called, and what is to be said of it. What `run` throws is told there; else it leaves the page. */
  secret?: { label: string; hint: string }
  /** Nothing is lost by it. */
  mild?: boolean
  /** What may be better. */
  instead?: { verb: string; run: () => void | Promise<void> }
}

const THEME_KEY = 'palaver.theme'
const LAST_KEY = 'palaver.last'
const SINGLE_KEYS_KEY = 'palaver.single-keys'
const GROUNDS = { light: '#fdfcfa', dark: '#191816' }
const TOAST_MS = 5000
const TOAST_UNDO_MS = 10_000

export class PageState {
  readonly session: Session
  readonly views = new Views(
    () => {
      if (this.over) this.close()
      this.report(new Problem('offline'))
    },
    () => this.session.connection.attempts > 0,
  )
  route: Route = $state.raw(parseRoute(location.pathname, location.search))
  theme: Theme = $state(readTheme())
  drawer = $state(false)
  over: Over | null = $state(null)
  /** The menu that is open, beside what opened it. */
  menu: { anchor: HTMLElement; label: string; items: MenuItem[]; find?: Find | undefined } | null = $state.raw(null)
  question: Question | null = $state.raw(null)
  /** Keys without Ctrl, such as C and ?, do something. */
  singleKeys = $state(stored(SINGLE_KEYS_KEY) !== 'off')
  toasts: Toast[] = $state.raw([])
  /** Ticks each half minute, for relative times. */
  now: Date = $state.raw(new Date())
  /** The room whose title is being edited, and where; or which is being moved, in the panel. */
  renaming: { room: string; at: 'list' | 'header' | 'panel' } | null = $state.raw(null)
  /** The message that is being edited. */
  editing: string | null = $state(null)
  /** It is looked for words in the chat that is open. */
  finding = $state(false)
  /** What was looked for in the message to which one is led. */
  hit: Sought | null = null
  /** How often it was asked to be led to a message: also to the one that the address names already. */
  sought = $state(0)
  /** Text handed to the composer, for instance a refused message that is to be edited. */
  draft: { room: string | null; text: string } | null = $state.raw(null)
  /** A part of the page could not be fetched, and cannot be any more: most likely the server has a newer page. */
  outdated = $state(false)
  /** The list of chats is a drawer. */
  readonly narrow = new MediaQuery('width < 860px')
  #toastId = 0
  /** What had the focus before the settings or the shelf were opened, and before the panel was. */
  #opener: Element | null = null
  #panelOpener: Element | null = null
  /** The browser was asked to go back and has not gone yet; what wants to go elsewhere waits. */
  #returning = false
  #waiting: (() => void)[] = []

  constructor(session: Session) {
    this.session = session
    if (isOver(history.state)) history.replaceState(null, '')
    if (location.search === '?installed') this.#goToLast()
    addEventListener('popstate', () => {
      this.over = isOver(history.state) ? history.state.over : null
      this.#arrive(parseRoute(location.pathname, location.search), true)
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

  go(room: string | null, seq: number | null = null, replace = false, hit: Sought | null = null): void {
    const panel = room === this.route.room ? this.route.panel : null
    if (seq !== null) this.sought += 1
    this.hit?.end()
    this.hit = hit
    this.visit(routePath(room, seq, panel), replace)
  }

  /** `closes`: it leaves what was opened before, which gives the focus back. */
  visit(path: string, replace = false, closes = false): void {
    this.#settled(() => {
      const over = isOver(history.state)
      if (over || path !== location.pathname + location.search) {
        const before = over || !replace ? location.pathname : cameFrom()
        history[replace || over ? 'replaceState' : 'pushState'](before === null ? null : { before }, '', path)
      }
      this.over = null
      this.#arrive(parseRoute(...splitPath(path)), closes)
      this.drawer = false
    })
  }

  /** From one part of the settings to another there is no way back but out, except on a screen that shows one at a time. */
  settings(section: SettingsSection | null = this.narrow.current ? null : 'profile'): void {
    this.toPart(settingsPath(section))
  }

  toPart(path: string): void {
    const within = parseRoute(...splitPath(path)).view === this.route.view
    this.visit(path, within && !this.narrow.current)
  }

  async openMenu(anchor: HTMLElement, label: string, items: MenuItem[] | Promise<MenuItem[]>, find?: Find): Promise<void> {
    try {
      this.menu = { anchor, label, items: await items, find }
    } catch {
      this.report(new Problem('offline'))
    }
  }

  /** Back to where one was; to the start for who came here from elsewhere. */
  leave(): void {
    if (cameFrom() !== null) history.back()
    else this.visit(BASE, true, true)
  }

  /** From a part to the list of them, on a screen that shows one at a time. */
  toParts(path: string): void {
    if (cameFrom() === path) history.back()
    else this.visit(path, true)
  }

  /** Shows beside a chat what belongs to it, in the place of what stood there. */
  openPanel(panel: PanelName): void {
    const { room, seq, panel: before } = this.route
    if (before !== panel) this.visit(routePath(room, seq, panel), before !== null)
  }

  closePanel(): void {
    const { room, seq } = this.route
    if (cameFrom() === location.pathname) history.back()
    else this.visit(routePath(room, seq), true, true)
  }

  ask(question: Question): void {
    this.question = question
    this.open('ask')
  }

  /** What is closed gives the focus back to what led there. */
  #arrive(route: Route, closes: boolean): void {
    const aside = ({ view }: Route): boolean => isPart(view)
    const [before, after] = [this.route, route]
    this.route = route
    this.menu = null
    if (after.room !== before.room) this.finding = false
    if (after.room) store(LAST_KEY, after.room)
    if (!aside(before) && aside(after)) this.#opener = document.activeElement
    const returns = aside(before) && !aside(after)
    if (before.panel === null && after.panel !== null) this.#panelOpener = document.activeElement
    const panelEnds = before.panel !== null && after.room === before.room && after.panel === null
    if (!closes || !(returns || panelEnds)) return
    const opener = returns ? this.#opener : this.#panelOpener
    void tick().then(() => {
      // What led to the panel may be gone, as *Invite* is once somebody has come.
      const to = panelEnds && !isPlace(opener) ? document.querySelector('[data-testid="room-menu"]') : opener
      if (isPlace(to)) to.focus({ preventScroll: true })
    })
  }

  #goToLast(): void {
    const last = stored(LAST_KEY)
    history.replaceState(null, '', routePath(last))
    this.route = parseRoute(location.pathname)
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

  /** What the person wished on another device, or here before. */
  take({ theme, single_keys: keys }: Readonly<Record<string, unknown>>): void {
    if (theme === 'system' || theme === 'light' || theme === 'dark') this.#show(theme)
    if (typeof keys === 'boolean') this.#useKeys(keys)
  }

  setTheme(theme: Theme): void {
    this.#show(theme)
    this.prefer({ theme })
  }

  setSingleKeys(on: boolean): void {
    this.#useKeys(on)
    this.prefer({ single_keys: on })
  }

  prefer(wish: Record<string, unknown>): void {
    void this.session.prefer(wish).catch(this.report)
  }

  #show(theme: Theme): void {
    this.theme = theme
    if (theme === 'system') delete document.documentElement.dataset.theme
    else document.documentElement.dataset.theme = theme
    for (const meta of document.querySelectorAll<HTMLMetaElement>('meta[name="theme-color"]')) {
      meta.content = GROUNDS[theme === 'system' ? (meta.media.includes('dark') ? 'dark' : 'light') : theme]
    }
    store(THEME_KEY, theme)
  }

  #useKeys(on: boolean): void {
    this.singleKeys = on
    store(SINGLE_KEYS_KEY, on ? 'on' : 'off')
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
      this.toast(texts.room.deleted(title), () => {
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
    this.toast(copied ? said : texts.notCopied)
  }
}

const KEY = Symbol('page')

export function providePage(page: PageState): PageState {
  return setContext(KEY, page)
}

export function usePage(): PageState {
  return getContext<PageState>(KEY)
}

/** Whether it can have the focus. */
function isPlace(element: Element | null): element is HTMLElement {
  return element instanceof HTMLElement && element !== document.body && element.isConnected
}

function isOver(state: unknown): state is { over: Over } {
  return typeof state === 'object' && state !== null && 'over' in state
}

/** The address of the page to which Back leads; null where that is somewhere else. */
function cameFrom(): string | null {
  const state: unknown = history.state
  return typeof state === 'object' && state !== null && 'before' in state ? String(state.before) : null
}

function splitPath(path: string): [string, string] {
  const at = path.indexOf('?')
  return at < 0 ? [path, ''] : [path.slice(0, at), path.slice(at)]
}

function readTheme(): Theme {
  const theme = document.documentElement.dataset.theme
  return theme === 'light' || theme === 'dark' ? theme : 'system'
}

function stored(key: string): string | null {
  try {
    return localStorage.getItem(key)
  } catch {
    return null
  }
}

function store(key: string, value: string): void {
  try {
    localStorage.setItem(key, value)
  } catch {
    // Then the choice lasts as long as this page.
  }
}
