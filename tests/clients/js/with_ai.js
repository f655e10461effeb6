// A user of the Vercel AI SDK with its provider for OpenAI, in either of its two modes, `chat` or `responses`.
// OPENAI_BASE_URL and OPENAI_API_KEY say where. The history is kept as its documentation says: what came is added.

import { openai } from "@ai-sdk/openai";
import { generateText, isStepCount, Output, streamText, tool as toolOf } from "ai";
import { z } from "zod";
import { serve, tell, WEATHER, weather } from "./lines.js";

const model = process.argv[2] === "responses" ? openai.responses("m") : openai.chat("m");
const City = z.object({ city: z.string(), people: z.number() });
const tools = {
  [WEATHER.name]: toolOf({
    description: WEATHER.description,
    inputSchema: z.object({ city: z.string() }),
    execute: weather,
  }),
};

let said = [];

async function streamed(text, more) {
  const messages = [...said, { role: "user", content: text }];
  let failure = null;
  const result = streamText({
    model,
    messages,
    ...more,
    onError: ({ error }) => {
      failure = error;
    },
  });
  let heard = "";
  for await (const word of result.textStream) {
    heard += word;
    tell({ word });
  }
  if (failure) throw failure;
  said = [...messages, ...(await result.responseMessages)];
  return { said: heard };
}

async function object(text) {
  const messages = [...said, { role: "user", content: text }];
  const { output } = await generateText({
    model,
    messages,
    output: Output.object({ schema: City }),
  });
  return { object: output };
}

await serve({
  say: (text) => streamed(text),
  tool: (text) => streamed(text, { tools, stopWhen: isStepCount(3) }),
  object,
});
