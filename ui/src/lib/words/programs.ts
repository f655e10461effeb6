/** What one writes where so that a program asks here: ready to be copied, with the key and the model in it. */
import { fenced } from './json'

export interface Server {
  /** Where the page is, without a slash at its end. */
  at: string
  key: string
  model: string
}

/** By the program's name, as Markdown. */
export function snippetsOf({ at, key, model }: Server): Record<string, string> {
  const base = `${at}/v1`
  const python = `from openai import OpenAI

client = OpenAI(base_url=${quoted(base)}, api_key=${quoted(key)})
stream = client.chat.completions.create(
    model=${quoted(model)},
    messages=[{"role": "user", "content": "Hello!"}],
    stream=True,
)
for chunk in stream:
    if chunk.choices:
        print(chunk.choices[0].delta.content or "", end="", flush=True)`
  const body = JSON.stringify({ model, messages: [{ role: 'user', content: 'Hello!' }] }, null, 2)
  const curl = `curl ${base}/chat/completions \\
  -H "Authorization: Bearer ${key}" \\
  -H "Content-Type: application/json" \\
  -d ${word(body).replaceAll('\n', '\n  ')}`
  const codex = `# ~/.codex/config.toml
model = ${quoted(model)}
model_provider = "palaver"

[model_providers.palaver]
name = "Palaver"
base_url = ${quoted(base)}
wire_api = "responses"
env_key = "PALAVER_KEY"`
  const opencode = {
    provider: {
      palaver: { npm: '@ai-sdk/openai-compatible', name: 'Palaver', options: { baseURL: base, apiKey: key }, models: { [model]: {} } },
    },
    model: `palaver/${model}`,
  }
  return {
    Python: fenced(python, 'python'),
    curl: fenced(curl, 'bash'),
    Codex: `${fenced(codex, 'toml')}\n\n${fenced(`export PALAVER_KEY=${word(key)}\ncodex`, 'bash')}`,
    'Claude Code': shell({ ANTHROPIC_BASE_URL: at, ANTHROPIC_AUTH_TOKEN: key, ANTHROPIC_MODEL: model }, 'claude'),
    aider: shell({ OPENAI_API_BASE: base, OPENAI_API_KEY: key }, `aider --model ${word(`openai/${model}`)}`),
    opencode: fenced(`// opencode.json\n${JSON.stringify(opencode, null, 2)}`, 'json'),
  }
}

function shell(variables: Record<string, string>, command: string): string {
  const lines = Object.entries(variables).map(([name, value]) => `export ${name}=${word(value)}`)
  return fenced([...lines, command].join('\n'), 'bash')
}

/** As a shell takes it for one word. */
function word(text: string): string {
  return /^[\w@%+=:,./-]+$/u.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`
}

function quoted(text: string): string {
  return JSON.stringify(text)
}
