import { expect, test } from 'vitest'
import { snippetsOf } from './programs'

const made = snippetsOf({ at: 'http://127.0.0.1:8000', key: 'plv_1', model: 'gpt "5"' })

test('each program is told where, with which key and for which model', () => {
  expect(Object.keys(made)).toEqual(['Python', 'curl', 'Codex', 'Claude Code', 'aider', 'opencode'])
  for (const text of Object.values(made)) {
    expect(text).toContain('http://127.0.0.1:8000')
    expect(text).toContain('plv_1')
    expect(text).toMatch(/gpt \\*"5/u)
  }
  expect(made['Claude Code']).not.toContain('/v1')
})

test('what a shell would take for several words is quoted', () => {
  expect(made.aider).toContain(`--model 'openai/gpt "5"'`)
  expect(snippetsOf({ at: 'http://a', key: "it's", model: 'm' })['Claude Code']).toContain("'it'\\''s'")
})

test('the configuration of Codex and of opencode can be read', () => {
  expect(made.Codex).toContain('model = "gpt \\"5\\""\n')
  const json = /\n(\{[\s\S]*\})\n/u.exec(made.opencode ?? '')?.[1] ?? ''
  expect(JSON.parse(json)).toMatchObject({ model: 'palaver/gpt "5"', provider: { palaver: { options: { baseURL: 'http://127.0.0.1:8000/v1' } } } })
})
