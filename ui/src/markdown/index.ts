/** Streamed Markdown: `<Markdown text streaming />`, and `preloadMarkdown()` to have its engine early. */
export { default as Markdown } from './Markdown.svelte'
export { preloadMarkdown } from './lazy.svelte'
