// An origin to put a gateway in front of: answers every request with what it received, as JSON.
//
//   node examples/quickstart/origin.js [PORT]        (9000 if none is named)

import { createServer } from "node:http";

const port = Number(process.argv[2] ?? 9000);

const server = createServer(async (request, response) => {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  const body = JSON.stringify(
    {
      origin: `http://127.0.0.1:${port}`,
      method: request.method,
      url: request.url,
      headers: pairs(request.rawHeaders).map(([name, value]) => `${name}: ${value}`),
      body: Buffer.concat(chunks).toString("utf8"),
    },
    null,
    2,
  );
  response.writeHead(200, {
    "content-type": "application/json",
    "content-length": Buffer.byteLength(body) + 1,
  });
  response.end(`${body}\n`);
});

// A client that goes away is nothing to fall over.
server.on("clientError", (_error, socket) => socket.destroy());
server.on("error", (error) => {
  const why = error.code === "EADDRINUSE" ? `port ${port} is in use by another program` : error.message;
  console.error(`origin: ${why}`);
  process.exit(1);
});
server.listen(port, "127.0.0.1", () => console.log(`origin: http://127.0.0.1:${server.address().port}`));

function pairs(list) {
  return Array.from({ length: list.length / 2 }, (_, index) => [list[2 * index], list[2 * index + 1]]);
}
