import { readdirSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { vitePreprocess } from '@sveltejs/vite-plugin-svelte'

const SOURCE = join(dirname(fileURLToPath(import.meta.url)), 'src')
const FILES = readdirSync(SOURCE, { recursive: true }).map(String).filter((name) => name.endsWith('.svelte')).sort()

/** Two letters, the first of them a large one, which no class of ours has. */
function mark(place) {
  return String.fromCharCode(65 + Math.max(0, Math.floor(place / 36))) + Math.max(0, place % 36).toString(36)
}

export default {
  preprocess: vitePreprocess(),
  // The mark of a component's styles is in the script as often as it has elements: short ones are a quarter of a kilobyte less to fetch.
  compilerOptions: { cssHash: ({ filename }) => mark(FILES.indexOf(relative(SOURCE, filename))) },
}
