// How a test talks with a client's program: one JSON line for each thing to do, lines back until one has `end`.
//
// A thing to do is `{"do": name, "text": what is said}`. What comes meanwhile is `{"word": …}`. The end is what came
// of it, `{"end": {…}}`, with `failed` in it where that was an error. The program ends with its input.

import { createInterface } from "node:readline";

export function tell(line) {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

export async function serve(things) {
  for await (const line of createInterface({ input: process.stdin })) {
    const { do: name, text } = JSON.parse(line);
    try {
      tell({ end: await things[name](text) });
    } catch (error) {
      tell({ end: { failed: error.name, status: error.status ?? null, message: error.message } });
    }
  }
}

export const WEATHER = {
  name: "get_weather",
  description: "The weather at a place.",
  parameters: {
    type: "object",
    properties: { city: { type: "string" } },
    required: ["city"],
    additionalProperties: false,
  },
};

export function weather({ city }) {
  return `Snow in ${city}`;
}
