// A user of the official library `openai`, with its usual settings: OPENAI_BASE_URL and OPENAI_API_KEY say where.
// `chat` keeps the history itself and sends all of it each time; `responses` goes on from the response before.

import OpenAI from "openai";
import { zodResponseFormat, zodTextFormat } from "openai/helpers/zod";
import { z } from "zod";
import { serve, tell, WEATHER, weather } from "./lines.js";

const client = new OpenAI();
const model = "m";
const City = z.object({ city: z.string(), people: z.number() });

const said = [];

async function say(text) {
  const asked = { role: "user", content: text };
  let heard = "";
  const stream = await client.chat.completions.create({
    model,
    messages: [...said, asked],
    stream: true,
  });
  for await (const chunk of stream) {
    const word = chunk.choices[0]?.delta?.content;
    if (word) {
      heard += word;
      tell({ word });
    }
  }
  said.push(asked, { role: "assistant", content: heard });
  return { said: heard };
}

async function tool(text) {
  const runner = client.chat.completions.runTools({
    model,
    messages: [...said, { role: "user", content: text }],
    tools: [{ type: "function", function: { ...WEATHER, function: weather, parse: JSON.parse } }],
  });
  const heard = await runner.finalContent();
  said.splice(0, said.length, ...runner.messages);
  return { said: heard };
}

async function object(text) {
  const got = await client.chat.completions.parse({
    model,
    messages: [...said, { role: "user", content: text }],
    response_format: zodResponseFormat(City, "city"),
  });
  return { object: got.choices[0].message.parsed };
}

async function models() {
  const ids = [];
  for await (const one of await client.models.list()) ids.push(one.id);
  return { models: ids };
}

async function embed(text) {
  const got = await client.embeddings.create({ model, input: text });
  return { embedding: got.data[0].embedding };
}

async function stored(text) {
  const messages = [{ role: "user", content: text }];
  const ids = [];
  for (let count = 0; count < 3; count += 1) {
    ids.push((await client.chat.completions.create({ model, messages, store: true })).id);
  }
  const listed = [];
  for await (const one of client.chat.completions.list({ limit: 2 })) listed.push(one.id);
  const asked = [];
  for await (const one of client.chat.completions.messages.list(ids[0])) asked.push(one.content);
  const gone = await client.chat.completions.delete(ids[0]);
  return { made: ids, listed, asked, deleted: gone.deleted };
}

async function conversation(text) {
  const { id } = await client.conversations.create({ metadata: { topic: "demo" } });
  const items = Array.from({ length: 5 }, (_, place) => {
    return { type: "message", role: "user", content: `${text} ${place}` };
  });
  await client.conversations.items.create(id, { items });
  const texts = [];
  for await (const one of client.conversations.items.list(id, { limit: 2, order: "asc" })) {
    texts.push(one.content[0].text);
  }
  return { id, texts };
}

let previous;

async function respond(text) {
  let heard = "";
  const stream = client.responses.stream({ model, input: text, previous_response_id: previous });
  for await (const event of stream) {
    if (event.type === "response.output_text.delta") {
      heard += event.delta;
      tell({ word: event.delta });
    }
    if (event.type === "response.failed") throw new Error(event.response.error.message);
  }
  const response = await stream.finalResponse();
  previous = response.id;
  return { said: response.output_text, heard };
}

async function respondWithTool(text) {
  const asked = { model, tools: [{ type: "function", strict: true, ...WEATHER }] };
  const first = await client.responses.create({
    ...asked,
    input: text,
    previous_response_id: previous,
  });
  const call = first.output.find((item) => item.type === "function_call");
  const output = weather(JSON.parse(call.arguments));
  const second = await client.responses.create({
    ...asked,
    input: [{ type: "function_call_output", call_id: call.call_id, output }],
    previous_response_id: first.id,
  });
  previous = second.id;
  return { said: second.output_text };
}

async function respondWithObject(text) {
  const got = await client.responses.parse({
    model,
    input: text,
    previous_response_id: previous,
    text: { format: zodTextFormat(City, "city") },
  });
  return { object: got.output_parsed };
}

async function resume(text) {
  const told = [];
  const note = (event) => {
    told.push(event.sequence_number);
    if (event.type === "response.output_text.delta") tell({ word: event.delta });
  };
  let id;
  const stream = await client.responses.create({ model, input: text, background: true, stream: true });
  for await (const event of stream) {
    note(event);
    id ??= event.response.id;
    if (event.type === "response.output_text.delta") break; // which ends the connection
  }
  const after = told.at(-1);
  const rest = await client.responses.retrieve(id, { stream: true, starting_after: after });
  for await (const event of rest) note(event);
  return { told, said: (await client.responses.retrieve(id)).output_text };
}

const chats = { say, tool, object, models, embed, stored, conversation, resume };
const responses = { say: respond, tool: respondWithTool, object: respondWithObject };
await serve(process.argv[2] === "responses" ? responses : chats);
