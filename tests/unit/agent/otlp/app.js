/* Serves requests, sends them to itself, and ends as any application does. Traced by OpenTelemetry's own instrumentations, which
   are loaded before it; it knows nothing of Rollcall. */
"use strict";
const express = require("express");
const http = require("node:http");
const net = require("node:net");

const neighbour = net.createServer((socket) => {
  socket.once("data", () =>
    setTimeout(() => socket.end("HTTP/1.1 429 Slow down\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno"), 20),
  );
});
const app = express();

app.get("/feed/:user", (request, response) => {
  http
    .get({ host: "localhost", port: neighbour.address().port, path: "/secret?user=7", agent: false }, (answer) => {
      answer.resume().on("end", () => response.send("feed"));
    })
    .on("error", () => response.send("feed"));
});
app.get("/fail", () => {
  throw new TypeError("no feed for alice@example.com");
});

function ask(port, path) {
  return new Promise((resolve) => {
    const socket = net.connect(port, "127.0.0.1", () => {
      socket.write(`GET ${path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`);
    });
    socket.on("close", resolve).resume();
  });
}

async function main() {
  const server = app.listen(0, "127.0.0.1");
  await new Promise((resolve) => server.on("listening", resolve));
  await new Promise((resolve) => neighbour.listen(0, "localhost", resolve));
  for (let number = 0; number < 20; number++) await ask(server.address().port, `/feed/${number}`);
  for (let number = 0; number < 3; number++) await ask(server.address().port, "/fail");
  await ask(server.address().port, "/wp-login.php");
  server.close();
  neighbour.close();
  process.kill(process.pid, "SIGTERM"); // the instrumentation sends what it has, as at the end of a pod
}

main();
