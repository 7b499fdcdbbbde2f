/* A catalogue of goods: answers by itself, or asks the newsfeed. */
"use strict";
const express = require("express");
const http = require("node:http");

const newsfeed = process.env.NEWSFEED || "http://newsfeed";
const app = express();

app.get("/", (request, response) => response.send("catalog"));
app.get("/goods/:id", (request, response) => setTimeout(() => response.json({ id: request.params.id }), 20));
app.get("/reviews/:id", (request, response, next) => {
  http
    .get(`${newsfeed}/feed/${encodeURIComponent(request.params.id)}`, (answer) => {
      answer.resume().on("end", () => response.status(answer.statusCode).send("reviews"));
    })
    .on("error", next);
});
app.get("/fail", () => {
  throw new Error("no goods");
});

app.listen(8080, "0.0.0.0");
