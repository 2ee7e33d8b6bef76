// A server of WebSockets and event streams whose clients leave in order before it is stopped. Node 18+ and ws 8 (npm install ws).
// It does what python/chat.py does, which says why.
"use strict";

const fs = require("node:fs");
const http = require("node:http");
const { WebSocketServer } = require("ws");

const WINDOW = Number(process.env.BLUEGREEN_DRAIN_WINDOW || 10); // seconds
const RELEASE = process.env.BLUEGREEN_RELEASE || "none";
const RESTART = 1012; // the client shall come back

const ledger = fs.openSync(process.env.LEDGER || "/dev/null", "a", 0o600);
const staying = new Set(); // how each client that is here is told to leave

function goodbye(seconds = WINDOW) {
  for (const leave of staying) setTimeout(leave, Math.random() * seconds * 1000);
}

const server = http.createServer((request, response) => {
  const url = new URL(request.url, "http://member");
  if (url.pathname === "/drain" && request.method === "POST") {
    goodbye(Number(url.searchParams.get("seconds") || WINDOW));
    response.writeHead(202).end();
  } else if (url.pathname === "/events") {
    events(request, response);
  } else {
    response.writeHead(200, { "X-Release": RELEASE }).end(RELEASE);
  }
});

function events(request, response) {
  response.writeHead(200, { "Content-Type": "text/event-stream", "X-Accel-Buffering": "no" });
  response.write("retry: 100\n\n");
  let number = Number(request.headers["last-event-id"] || 0);
  const tick = setInterval(() => response.write(`id: ${++number}\ndata: ${RELEASE}\n\n`), 500);
  const leave = () => response.end();
  staying.add(leave);
  response.on("close", () => {
    clearInterval(tick);
    staying.delete(leave);
  });
}

new WebSocketServer({ server, path: "/ws" }).on("connection", (socket) => {
  const leave = () => socket.close(RESTART, "moving to another server"); // waits for the client's own goodbye; a second one does nothing
  staying.add(leave);
  socket.on("close", () => staying.delete(leave));
  socket.on("error", () => socket.terminate());
  socket.on("message", (data) => {
    fs.writeSync(ledger, `${data}\n`); // safe before it is acknowledged
    socket.send(data.toString());
  });
});

process.on("SIGUSR2", () => goodbye());
process.on("SIGTERM", () => {
  server.close(() => process.exit(0)); // when the last client is gone
  goodbye(0);
  setTimeout(() => process.exit(0), 5000);
});

server.listen(Number(process.env.PORT), process.env.BLUEGREEN_ADDRESS || "127.0.0.1");
