// A notice board: GET / reads it, POST / adds a line, WebSocket /ws tells each line to everybody who is here. Node 18+ and ws 8.
// /health answers 200 once the board is read. /slow takes three seconds: ask it during a release.
"use strict";

const fs = require("node:fs");
const http = require("node:http");
const path = require("node:path");
const { WebSocketServer } = require("ws");

const RELEASE = path.basename(__dirname); // the directory's name is the release: it shows which code answers
const WINDOW = Number(process.env.BLUEGREEN_DRAIN_WINDOW || 10); // seconds over which clients are let go
const RESTART = 1012; // a WebSocket's goodbye: the client shall come back
const BOARD = path.join(__dirname, "data", "board.txt"); // a shared path: the same file for every release and both slots

let ready = false;
let stopping = false;

const server = http.createServer((request, response) => {
  response.setHeader("X-Release", RELEASE);
  if (stopping) response.setHeader("Connection", "close"); // this client asks elsewhere the next time
  if (request.url === "/health") return response.writeHead(ready ? 200 : 503).end(ready ? "ok" : "the board is not read yet");
  if (request.url === "/slow") return setTimeout(() => response.end("done"), 3000);
  if (request.method === "POST") return post(request, response);
  fs.createReadStream(BOARD).on("error", () => response.writeHead(500).end()).pipe(response);
});
server.keepAliveTimeout = 5000; // milliseconds; more than bluegreen_upstream_idle, so that nginx ends an idle connection and not Node
server.headersTimeout = 10000;

function post(request, response) {
  let text = "";
  request.setEncoding("utf8");
  request.on("data", (part) => {
    text += part;
    if (text.length > 1000) request.destroy();
  });
  request.on("end", () => {
    const line = text.replaceAll("\n", " ");
    fs.appendFileSync(BOARD, `${line}\n`);
    for (const client of clients.clients) client.send(line);
    response.writeHead(201).end();
  });
}

const clients = new WebSocketServer({ server, path: "/ws" });
clients.on("connection", (socket) => socket.on("error", () => socket.terminate()));

// The goodbye (bluegreen_drain_signal: USR2): each client that is here now leaves at a moment of its own. Nothing else changes.
function goodbye(seconds) {
  for (const client of clients.clients) setTimeout(() => client.close(RESTART, "moving to another server"), Math.random() * seconds * 1000);
}
process.on("SIGUSR2", () => goodbye(WINDOW));

// The stop. Without a handler Node ends at once, in the midst of its requests.
process.on("SIGTERM", () => {
  stopping = true;
  server.close(() => process.exit(0)); // nothing new; the end when the last connection is gone
  setInterval(() => server.closeIdleConnections(), 100); // else one that waits for its next request holds the end up
  goodbye(0);
});

fs.mkdirSync(path.dirname(BOARD), { recursive: true });
fs.appendFileSync(BOARD, ""); // made if it is missing; without the right to write it the program ends here, and the release goes back
server.listen(Number(process.env.PORT), process.env.BLUEGREEN_ADDRESS || "127.0.0.1", () => {
  ready = true;
});
