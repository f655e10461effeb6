import { expect, test } from 'vitest'
import { blocksOf, patchOf, replaced, written, type Change } from './patch'

const told = (change: Change | undefined): string => (change?.hunks ?? []).map((hunk) => hunk.lines.map((line) => line.sign + line.text).join('\n')).join('\n@@\n')

test('a patch of apply_patch says what became of each file', () => {
  const patch = `*** Begin Patch
*** Update File: src/a.py
*** Move to: src/b.py
@@ def f():
 x = 1
-y = 2
+y = 3

@@
-z
*** Add File: docs/new.md
+# New
+
*** Delete File: old.txt
*** End Patch
-not a part`
  const changes = patchOf(patch) ?? []
  expect(changes.map(({ path, to, what, added, removed }) => [path, to, what, added, removed])).toEqual([
    ['src/a.py', 'src/b.py', 'edited', 1, 2], ['docs/new.md', null, 'created', 2, 0], ['old.txt', null, 'deleted', 0, 0],
  ])
  expect(changes[0]?.hunks[0]?.head).toBe('def f():')
  expect(told(changes[0])).toBe(' x = 1\n-y = 2\n+y = 3\n \n@@\n-z')
})

test('a unified diff is read, with files that are new or gone', () => {
  const diff = `diff --git a/x b/x
--- a/x
+++ b/x
@@ -1,2 +1,2 @@ in f
 a
-b
+c
\\ No newline at end of file
--- /dev/null
+++ b/y\t2026
@@ -0,0 +1 @@
+new`
  expect(patchOf(diff)?.map(({ path, what, added, removed }) => [path, what, added, removed])).toEqual([['x', 'edited', 1, 1], ['y', 'created', 1, 0]])
  expect(patchOf('--- a\njust words')).toBe(null)
})

test('an old text and its new one are compared line by line', () => {
  const change = replaced('a', [['one\ntwo\nthree\nfour\nfive\nsix\n', 'one\ntwo\nthree\nfour\n5\nsix\n']])
  expect(told(change)).toBe(' two\n three\n four\n-five\n+5\n six')
  expect(told(replaced('a', [['a\nb\nc', 'a\nx\nb\ny\nc']]))).toBe(' a\n+x\n b\n+y\n c')
  expect(replaced('a', [['same', 'same']])).toMatchObject({ added: 0, removed: 0 })
  expect(written('a', 'x\ny\n')).toMatchObject({ what: 'created', added: 2, removed: 0 })
})

test('texts that are too long to be compared are one taken out and one put in', () => {
  const lines = (letter: string): string => Array.from({ length: 1000 }, (_, index) => `${letter}${index}`).join('\n')
  expect(replaced('a', [[lines('a'), lines('b')]])).toMatchObject({ added: 1000, removed: 1000 })
})

test('blocks of SEARCH and REPLACE are changes', () => {
  const change = blocksOf('a', '<<<<<<< SEARCH\nold\n=======\nnew\n>>>>>>> REPLACE\nand\n------- SEARCH\nx\n=======\n+++++++ REPLACE')
  expect(told(change ?? undefined)).toBe('-old\n+new\n@@\n-x')
  expect(blocksOf('a', 'none')).toBe(null)
})
