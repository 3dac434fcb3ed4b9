// A client of tools for tests/e2e/mcp.rs: npm @modelcontextprotocol/sdk.
//
//   node mcp-client.mjs ADDRESS HEADERS
//
// Connects, lists all tools page by page, calls what each line of its input asks for (`{"name": …, "arguments": …}`), and prints
// what came as one JSON object: `version`, `server`, `instructions`, `tools`, `results` (or what went wrong as `error`).

import { createInterface } from "node:readline";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";

const [, , address, headers] = process.argv;
const transport = new StreamableHTTPClientTransport(new URL(address), { requestInit: { headers: JSON.parse(headers) } });
const client = new Client({ name: "test", version: "1" });
const said = { tools: [], pages: 0, results: [] };
try {
  await client.connect(transport);
  said.version = transport.protocolVersion;
  said.session = transport.sessionId ?? null;
  said.server = client.getServerVersion();
  said.instructions = client.getInstructions();
  await client.ping();
  let cursor;
  do {
    const page = await client.listTools(cursor === undefined ? {} : { cursor });
    said.tools.push(...page.tools);
    said.pages += 1;
    cursor = page.nextCursor;
  } while (cursor !== undefined);
  for await (const line of createInterface({ input: process.stdin })) {
    if (line.trim() === "") continue;
    const call = JSON.parse(line);
    said.results.push(await client.callTool(call).catch((error) => ({ thrown: error.message, code: error.code })));
  }
  await client.close();
} catch (error) {
  said.error = error.message;
}
console.log(JSON.stringify(said));
process.exit(0);
