"""A FastAPI application that waits for a database and a remote service, in several ways."""

import asyncio
import os

import httpx
import psycopg
import psycopg2
from fastapi import FastAPI

app = FastAPI()
API = f"http://127.0.0.1:{os.environ['API']}"
DATABASE = f"postgresql://postgres:secret@127.0.0.1:{os.environ['DATABASE']}/orders"
client = httpx.AsyncClient(timeout=10)


@app.get("/order")
async def order():
    connection = await psycopg.AsyncConnection.connect(DATABASE)
    await connection.execute("select pg_sleep(0.2)")
    await connection.execute("select 1")
    await connection.commit()
    await connection.close()
    return (await client.get(f"{API}/status/200")).text


@app.get("/beside")
async def beside():
    answers = await asyncio.gather(*[client.get(f"{API}/slow/0.2") for _ in range(5)])
    return [answer.text for answer in answers]


@app.get("/thread")
def thread():
    with psycopg2.connect(DATABASE) as connection:
        connection.cursor().execute("select pg_sleep(0.2)")
    return "done"


@app.get("/slow")
async def slow():
    return (await client.get(f"{API}/slow/2.5")).text


@app.get("/down")
async def down():
    return (await client.get("http://127.0.0.1:1/")).text
