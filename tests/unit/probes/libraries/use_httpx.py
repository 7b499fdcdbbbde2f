"""httpx, called and awaited."""

import httpx


def called(seen, base, name):
    client = httpx.Client(timeout=5)
    seen(name, lambda: client.get(base + "/status/200?token=secret").text)
    seen(name, lambda: client.post(base + "/status/201", json={"a": 1}).status_code)
    seen(name, lambda: client.get(base + "/moved/", follow_redirects=True).status_code, calls=2)
    seen(name, lambda: client.get(base + "/status/404").status_code)
    seen(name, lambda: client.get(base + "/status/500").status_code, "error")
    seen(name, lambda: client.get(base + "/status/503?retry").status_code, "throttled")
    seen(name, lambda: client.get(base + "/status/429").status_code, "throttled")
    seen(name, lambda: client.get(base + "/slow/5", timeout=0.2), "timeout")
    seen("http 127.0.0.1:1", lambda: client.get("http://127.0.0.1:1/"), "refused")
    seen("http name.invalid", lambda: client.get("http://name.invalid/"), "refused")
    narrow = httpx.Client(limits=httpx.Limits(max_connections=1), timeout=httpx.Timeout(5, pool=0.2))
    with narrow.stream("GET", base + "/status/200"):
        seen.expect(name)
        seen(name, lambda: narrow.get(base + "/status/200"), "exhausted")
    own = httpx.Client(transport=httpx.MockTransport(lambda request: httpx.Response(500)))
    seen(None, lambda: own.get("http://nowhere/").status_code)
    seen(None, lambda: client.get("no url"))


async def awaited(seen, base, name):
    async with httpx.AsyncClient(timeout=5) as client:

        async def status(path, **options):
            return (await client.get(base + path, **options)).status_code

        await seen.awaited(name, lambda: status("/status/200"))
        await seen.awaited(name, lambda: status("/status/503"), "error")
        await seen.awaited(name, lambda: status("/slow/5", timeout=0.2), "timeout")
        await seen.awaited("http 127.0.0.1:1", lambda: client.get("http://127.0.0.1:1/"), "refused")


def scenario(seen, addresses):
    port = addresses["http"]
    called(seen, f"http://127.0.0.1:{port}", f"http 127.0.0.1:{port}")
    return awaited(seen, f"http://127.0.0.1:{port}", f"http 127.0.0.1:{port}")
