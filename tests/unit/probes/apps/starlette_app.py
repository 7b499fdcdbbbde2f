"""A Starlette application without FastAPI."""

import asyncio

from starlette.applications import Starlette
from starlette.responses import JSONResponse, PlainTextResponse, StreamingResponse
from starlette.routing import Mount, Route


async def item(request):
    return JSONResponse({"item": request.path_params["number"]})


async def boom(request):
    raise RuntimeError("boom")


async def stream(request):
    return StreamingResponse((b"chunk %d\n" % i for i in range(3)), media_type="text/plain")


async def hang(request):
    await asyncio.sleep(float(request.path_params["seconds"]))
    return PlainTextResponse("woke up")


app = Starlette(
    routes=[
        Route("/item/{number:int}", item),
        Route("/boom", boom),
        Route("/stream", stream),
        Route("/hang/{seconds}", hang),
        Mount("/mounted", routes=[Route("/deep/{name}", item)]),
    ]
)
