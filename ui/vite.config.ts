/**
 * How the page is built, served while it is worked on, and tested.
 *
 * The output goes into the Python package and is not committed. Nothing is inlined: the server's
 * Content-Security-Policy allows fonts, styles and scripts from files only. What opens before the chats
 * (`device.html`, `invite.html`, `sign.html`) is built each by itself, so that it shares no part with others and loads only what it
 * needs.
 */
import { svelte } from '@sveltejs/vite-plugin-svelte'
import { build, type BuildEnvironmentOptions, type Plugin } from 'vite'
import { defineConfig } from 'vitest/config'

const server = process.env.PALAVER_SERVER ?? 'http://127.0.0.1:8000'

/** Small things that many parts use which are fetched later. */
const SHARED = /src\/(found|find\/(Marked|behind|listing|marks|query)|kit\/(CopyLine|Field|Switch|Table)|lib\/(texts-find|server\/(own|people|places)|words\/(isolated|moments|picture)))\./
const DOORS = ['device', 'invite', 'sign']

const built = (page: string): BuildEnvironmentOptions => ({
  assetsInlineLimit: 0,
  manifest: `.vite/${page}.json`,
  // Browsers that this page runs in preload by themselves.
  modulePreload: { polyfill: false },
  rolldownOptions: {
    input: [`${page}.html`],
    // What a page begins with is one file: in several it is larger, and fetched in several steps.
    // It names every other file, so that what many of them share is one, too.
    output: { codeSplitting: { groups: [{ name: 'first', tags: ['$initial'] }, { name: 'shared', test: SHARED }] } },
  },
  target: 'es2022',
})

/** Builds what opens before the chats beside them. */
function door(): Plugin {
  let outDir = ''
  return {
    name: 'door',
    apply: 'build',
    configResolved(config) {
      outDir = config.build.outDir
    },
    async closeBundle() {
      const beside = { outDir, emptyOutDir: false, copyPublicDir: false }
      for (const name of DOORS) {
        await build({
          configFile: false,
          plugins: [svelte()],
          base: './',
          build: { ...built(name), ...beside },
        })
      }
    },
  }
}

export default defineConfig({
  plugins: [svelte(), door()],
  base: './',
  build: { outDir: '../src/palaver/page', emptyOutDir: true, ...built('index') },
  server: {
    proxy: {
      '/api': server,
      '/v1': server,
      '/ws': { target: server, ws: true },
    },
  },
  resolve: process.env.VITEST ? { conditions: ['browser'] } : {},
  test: {
    environment: 'jsdom',
    include: ['src/**/*.test.ts'],
  },
})
