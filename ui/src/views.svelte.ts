/**
 * The parts of the page that are seldom looked at: each is a file of its own, fetched when it is first used.
 *
 * A browser asks for such a file once: one that could not be had is not here until the page is loaded anew, as the
 * banner then says. So none is asked for while the server is known to be away; they come when it is back.
 */
import type { Component } from 'svelte'

const PARTS = {
  settings: () => import('./settings/Settings.svelte'),
  admin: () => import('./admin/Admin.svelte'),
  agents: () => import('./agents/Agents.svelte'),
  archive: () => import('./shelf/Archive.svelte'),
  deleted: () => import('./shelf/Deleted.svelte'),
  starred: () => import('./marks/Starred.svelte'),
  search: () => import('./find/Search.svelte'),
  find: () => import('./find/Find.svelte'),
  palette: () => import('./shell/Palette.svelte'),
  chat: () => import('./panel/Chat.svelte'),
  people: () => import('./panel/People.svelte'),
  pins: () => import('./marks/Pins.svelte'),
  branches: () => import('./branches/Branches.svelte'),
  asof: () => import('./panel/AsOf.svelte'),
  banner: () => import('./shell/Banner.svelte'),
  toasts: () => import('./kit/Toasts.svelte'),
  menu: () => import('./kit/Menu.svelte'),
  shortcuts: () => import('./shell/Shortcuts.svelte'),
  status: () => import('./message/MessageStatus.svelte'),
  actions: () => import('./message/MessageActions.svelte'),
  model: () => import('./chat/model/Model.svelte'),
  company: () => import('./chat/Company.svelte'),
  answers: () => import('./message/Answers.svelte'),
  typing: () => import('./chat/Typing.svelte'),
  announcer: () => import('./chat/Announcer.svelte'),
  begun: () => import('./chat/Begun.svelte'),
  edit: () => import('./message/edits/Edit.svelte'),
  history: () => import('./message/edits/History.svelte'),
  parts: () => import('./message/Parts.svelte'),
  reactions: () => import('./message/Reactions.svelte'),
  marks: () => import('./marks/Marks.svelte'),
  aside: () => import('./message/run/Aside.svelte'),
  run: () => import('./message/run/Run.svelte'),
  exchange: () => import('./message/Inspect.svelte'),
  title: () => import('./shell/TitleInput.svelte'),
  ask: () => import('./shell/Ask.svelte'),
}

export type Part = keyof typeof PARTS
/** What is loaded gets what it needs from who shows it; most want an id, or nothing. */
export type Loaded = Component<Record<string, unknown>>

export class Views {
  #loaded: Partial<Record<Part, Loaded>> = $state.raw({})
  #later = new Set<Part>()
  #failed: () => void
  #away: () => boolean

  /** `failed`: a part could not be fetched. `away`: the server is known to be. */
  constructor(failed: () => void, away: () => boolean) {
    this.#failed = failed
    this.#away = away
  }

  /** The part, once it is here. */
  get(part: Part): Loaded | undefined {
    return this.#loaded[part]
  }

  async fetch(part: Part): Promise<void> {
    if (!(await this.prefetch(part))) this.#failed()
  }

  /** The server is back: fetches what was wanted meanwhile. */
  back(): void {
    for (const part of this.#later) void this.prefetch(part)
    this.#later.clear()
  }

  /** Fetches what is about to be used; whether it is here. What cannot be fetched now is told when it is used. */
  async prefetch(part: Part): Promise<boolean> {
    if (this.#loaded[part]) return true
    if (this.#away()) {
      this.#later.add(part)
      return false
    }
    try {
      const found = (await PARTS[part]()).default as unknown as Loaded
      this.#loaded = { ...this.#loaded, [part]: found }
      return true
    } catch {
      return false
    }
  }
}

export function isPart(name: string | undefined): name is Part {
  return name !== undefined && name in PARTS
}
