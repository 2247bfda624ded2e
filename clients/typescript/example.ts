// Makes an agent, talks with it, and reads what was said.
// TRIPTYCH_ADDRESS=127.0.0.1:7410 TRIPTYCH_API_KEY=trip_… npm run example

import { randomUUID } from "node:crypto";
import { createClient, type Interceptor } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { AgentService } from "./gen/triptych/agent/v1/agent_pb.js";
import { TurnService } from "./gen/triptych/agent/v1/turn_pb.js";
import { RecallService } from "./gen/triptych/recall/v1/recall_pb.js";

const withKey: Interceptor = (next) => (request) => {
  request.header.set("authorization", `Bearer ${process.env.TRIPTYCH_API_KEY}`);
  return next(request);
};
const transport = createGrpcTransport({
  baseUrl: `http://${process.env.TRIPTYCH_ADDRESS}`,
  interceptors: [withKey],
});
const agents = createClient(AgentService, transport);
const turns = createClient(TurnService, transport);
const recall = createClient(RecallService, transport);

const { agent } = await agents.createAgent({
  agent: { name: "from TypeScript", blocks: [{ label: "human", value: "Name: Ann." }] },
  includeBaseTools: true,
  requestId: randomUUID(),
});
if (!agent) throw new Error("no agent");

let said = "";
const start = { agentId: agent.id, requestId: randomUUID(), messages: [{ text: "Good morning!" }], deltas: true };
for await (const { event } of turns.startTurn(start)) {
  if (event?.event.case === "textDelta") said += event.event.value.text;
  if (event?.event.case === "error") throw new Error(event.event.value.message);
}
console.log(`streamed: ${said}`);

const { messages } = await recall.listMessages({ agentId: agent.id });
for (const message of messages) console.log(`kept: ${message.text}`);
