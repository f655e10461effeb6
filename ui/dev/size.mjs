/**
 * Measures what the page needs before it can be used: the entry's script with everything it imports
 * at once, gzipped. Fails above the limit. Run after a build.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'

const LIMIT_BYTES = 60_000
const page = join(import.meta.dirname, '../../src/palaver/page')
const manifest = JSON.parse(readFileSync(join(page, '.vite/manifest.json'), 'utf8'))

const first = new Set()
const add = (key) => {
  if (first.has(key)) return
  first.add(key)
  for (const next of manifest[key].imports ?? []) add(next)
}
add('index.html')

const gzipped = (file) => gzipSync(readFileSync(join(page, file)), { level: 9 }).length
let total = 0
for (const key of first) {
  const { file, css = [] } = manifest[key]
  const size = gzipped(file)
  total += size
  console.log(`${file}  ${size} bytes gzipped`)
  for (const style of css) console.log(`${style}  ${gzipped(style)} bytes gzipped (style, not counted)`)
}
console.log(`first script: ${total} of ${LIMIT_BYTES} bytes gzipped`)
if (total > LIMIT_BYTES) process.exit(1)
