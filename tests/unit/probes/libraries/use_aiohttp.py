"""aiohttp's client."""

import asyncio
import inspect

import aiohttp


async def awaited(seen, base, name):
    async with aiohttp.ClientSession() as session:

        async def status(path, **options):
            async with session.get(base + path, **options) as response:
                await response.read()
                return response.status

        await seen.awaited(name, lambda: status("/status/200?token=secret"))
        await seen.awaited(name, lambda: status("/moved/"))
        await seen.awaited(name, lambda: status("/status/404"))
        await seen.awaited(name, lambda: status("/status/500"), "error")
        await seen.awaited(name, lambda: status("/status/500", raise_for_status=True), "error")
        await seen.awaited(name, lambda: status("/status/503?retry"), "throttled")
        await seen.awaited(name, lambda: status("/status/429"), "throttled")
        await seen.awaited(name, lambda: status("/slow/5", timeout=aiohttp.ClientTimeout(total=0.2)), "timeout")
        await seen.awaited("http 127.0.0.1:1", lambda: session.get("http://127.0.0.1:1/"), "refused")
        await seen.awaited("http name.invalid", lambda: session.get("http://name.invalid/"), "refused")
        await seen.awaited(None, lambda: session.get("no url"))
        await seen.awaited(name, lambda: asyncio.gather(*[status("/slow/0.1") for _ in range(5)]), calls=5)
        task = asyncio.ensure_future(status("/slow/5"))
        await asyncio.sleep(0.1)
        task.cancel()
        await seen.awaited(name, lambda: task)  # says nothing of the dependency
    if "base_url" in inspect.signature(aiohttp.ClientSession).parameters:
        async with aiohttp.ClientSession(base) as session:
            await seen.awaited(name, lambda: status_of(session))


async def status_of(session):
    async with session.get("/status/200") as response:
        return response.status


def scenario(seen, addresses):
    return awaited(seen, f"http://127.0.0.1:{addresses['http']}", f"http 127.0.0.1:{addresses['http']}")
