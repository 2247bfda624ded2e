// The main flow by @letta-ai/letta-client: each line of output is a call and what came of it. Run by ../test_node.py.
// TRIPTYCH_URL=http://127.0.0.1:8283 TRIPTYCH_API_KEY=trip_… node flow.mjs

import assert from "node:assert/strict";
import Letta, { APIError, NotFoundError, toFile } from "@letta-ai/letta-client";

const client = new Letta({
  baseURL: process.env.TRIPTYCH_URL,
  apiKey: process.env.TRIPTYCH_API_KEY,
  maxRetries: 0,
});
const all = async (page) => {
  const items = [];
  for await (const item of page) items.push(item);
  return items;
};
const step = async (name, work) => {
  const came = await work();
  console.log(`ok ${name}`);
  return came;
};

await step("health", async () => assert.equal((await client.health()).status, "ok"));
await step("models.list", async () => assert.ok((await client.models.list()).length > 0));

const agent = await step("agents.create", () =>
  client.agents.create({
    name: "from Node",
    include_base_tools: true,
    memory_blocks: [
      { label: "human", value: "Name: Ann." },
      { label: "persona", value: "I am a helper." },
    ],
    tags: ["node"],
  }),
);
const send = (content) => client.agents.messages.create(agent.id, { messages: [{ role: "user", content }] });
const calls = async (tool, args) => {
  const reply = await send(`[[call:${tool} ${JSON.stringify(args)}]] go`);
  const returned = reply.messages.find((message) => message.message_type === "tool_return_message");
  assert.equal(returned?.status, "success");
  return returned.tool_return;
};

await step("agents.messages.create", async () => {
  const reply = await send("hello there");
  assert.equal(reply.stop_reason.stop_reason, "end_turn");
  assert.deepEqual(reply.messages.map((message) => message.content), ["ok: hello there"]);
  assert.ok(reply.usage.total_tokens > 0);
});
await step("memory tools", async () => {
  await calls("archival_memory_insert", { content: "Ann likes quince jam" });
  assert.match(await calls("archival_memory_search", { query: "jam" }), /quince/);
  await calls("memory_insert", { label: "human", new_string: "Lives in Oslo" });
  assert.match(await calls("conversation_search", { query: "hello" }), /hello there/);
});
await step("agents.messages.create, streaming", async () => {
  let said = "";
  const stream = await client.agents.messages.create(agent.id, {
    input: "one two three",
    streaming: true,
    stream_tokens: true,
  });
  const kinds = new Set();
  for await (const event of stream) {
    kinds.add(event.message_type);
    if (event.message_type === "assistant_message") said += event.content;
  }
  assert.equal(said, "ok: one two three");
  assert.ok(kinds.has("stop_reason") && kinds.has("usage_statistics"));
});
await step("agents.messages.createAsync", async () => {
  const run = await client.agents.messages.createAsync(agent.id, { input: "behind" });
  let status = run.status;
  while (status === "created" || status === "running") status = (await client.runs.retrieve(run.id)).status;
  assert.equal(status, "completed");
});
await step("agents.messages.list", async () => {
  const said = await all(client.agents.messages.list(agent.id, { limit: 3, order: "asc" }));
  assert.deepEqual([said[0].content, said.at(-1).content], ["hello there", "ok: behind"]);
  assert.equal(new Set(said.map((message) => message.id + message.message_type)).size, said.length);
});
await step("agents.blocks", async () => {
  const updated = await client.agents.blocks.update("human", { agent_id: agent.id, value: "Name: Bea." });
  assert.equal(updated.value, "Name: Bea.");
  const shared = await client.blocks.create({ label: "shared", value: "for all", read_only: true });
  await client.agents.blocks.attach(shared.id, { agent_id: agent.id });
  const labels = (await all(client.agents.blocks.list(agent.id))).map((block) => block.label);
  assert.deepEqual(labels.sort(), ["human", "persona", "shared"]);
});
await step("agents.passages", async () => {
  const [made] = await client.agents.passages.create(agent.id, { text: "The sky over Oslo is blue" });
  const found = await client.agents.passages.search(agent.id, { query: "sky" });
  assert.match(found.results[0].content, /Oslo/);
  await client.agents.passages.delete(made.id, { agent_id: agent.id });
  assert.equal((await client.agents.passages.list(agent.id)).length, 1);
});
await step("messages.search", async () => assert.ok((await client.messages.search({ query: "hello" })).length > 0));
await step("conversations", async () => {
  const conversation = await client.conversations.create({ agent_id: agent.id });
  for await (const _ of await client.conversations.messages.create(conversation.id, { input: "plums" }));
  const said = await all(client.conversations.messages.list(conversation.id, { order: "asc" }));
  assert.deepEqual(said.map((message) => message.content), ["plums", "ok: plums"]);
});
await step("folders", async () => {
  const folder = await client.folders.create({ name: "papers" });
  const file = await toFile(Buffer.from("# Fruit\n\nQuinces are best in October.\n"), "fruit.md");
  const uploaded = await client.folders.files.upload(folder.id, { file });
  assert.equal(uploaded.file_name, "fruit.md");
  await client.agents.folders.attach(folder.id, { agent_id: agent.id });
  assert.match(await calls("archival_memory_search", { query: "October" }), /Quinces/);
});
await step("agents.exportFile, importFile", async () => {
  const content = await client.agents.exportFile(agent.id);
  const file = await toFile(Buffer.from(typeof content === "string" ? content : JSON.stringify(content)), "a.af");
  const { agent_ids } = await client.agents.importFile({ file });
  assert.equal((await client.agents.retrieve(agent_ids[0])).blocks.length, 3);
});
await step("errors", async () => {
  await assert.rejects(client.agents.blocks.update("shared", { agent_id: agent.id, value: "x" }), (error) => {
    return error instanceof APIError && error.status === 422 && /read-only/.test(error.message);
  });
});
await step("agents.delete", async () => {
  await client.agents.delete(agent.id);
  await assert.rejects(client.agents.retrieve(agent.id), NotFoundError);
});
