"""An aiohttp application with a sub-application: `python aiohttp_app.py PORT`."""

import asyncio
import sys

from aiohttp import web


async def item(request):
    return web.json_response({"item": int(request.match_info["number"])})


async def boom(request):
    raise RuntimeError("boom")


async def stream(request):
    response = web.StreamResponse()
    await response.prepare(request)
    for i in range(3):
        await response.write(b"chunk %d\n" % i)
    return response


async def hang(request):
    await asyncio.sleep(float(request.match_info["seconds"]))
    return web.Response(text="woke up")


async def unavailable(request):
    raise web.HTTPServiceUnavailable()


async def endless(request):
    response = web.StreamResponse()
    await response.prepare(request)
    while True:
        await response.write(b"more " * 10_000)


async def socket(request):
    answer = web.WebSocketResponse()
    await answer.prepare(request)
    await answer.send_str("hello")
    async for _ in answer:
        pass
    return answer


app = web.Application()
below = web.Application()
below.router.add_get("/deep/{name}", item)
app.add_routes(
    [
        web.get("/item/{number}", item),
        web.get("/boom", boom),
        web.get("/stream", stream),
        web.get("/hang/{seconds}", hang),
        web.get("/unavailable", unavailable),
        web.get("/endless", endless),
        web.get("/socket", socket),
    ]
)
app.add_subapp("/below", below)

if __name__ == "__main__":
    web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), print=None)
