/**
 * How the page is built, served while it is worked on, and tested.
 *
 * The output goes into the Python package and is not committed. Nothing is inlined: the server's
 * Content-Security-Policy allows fonts, styles and scripts from files only.
 */
import { svelte } from '@sveltejs/vite-plugin-svelte'
import { defineConfig } from 'vitest/config'

const server = process.env.PALAVER_SERVER ?? 'http://127.0.0.1:8000'

export default defineConfig({
  plugins: [svelte()],
  base: './',
  build: {
    outDir: '../src/palaver/page',
    emptyOutDir: true,
    assetsInlineLimit: 0,
    manifest: true,
    // Browsers that this page runs in preload by themselves.
    modulePreload: { polyfill: false },
    rolldownOptions: { input: ['index.html', 'device.html'] },
    target: 'es2022',
  },
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
