"""A FastAPI application with an included router and a mounted application."""

import asyncio

from fastapi import APIRouter, FastAPI
from fastapi.responses import StreamingResponse

app = FastAPI()
router = APIRouter(prefix="/item")
mounted = FastAPI()


@router.get("/{number}")
def item(number: int):
    return {"item": number}


app.include_router(router)


@app.get("/boom")
async def boom():
    raise RuntimeError("boom")


@app.get("/stream")
async def stream():
    async def chunks():
        for i in range(3):
            yield b"chunk %d\n" % i

    return StreamingResponse(chunks(), media_type="text/plain")


@app.get("/hang/{seconds}")
async def hang(seconds: float):
    await asyncio.sleep(seconds)
    return "woke up"


@mounted.get("/deep/{name}")
async def deep(name: str):
    return name


app.mount("/mounted", mounted)
