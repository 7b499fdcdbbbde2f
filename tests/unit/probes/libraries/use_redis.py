"""redis-py, called and awaited."""

import redis
import redis.asyncio


def called(seen, port, name):
    client = redis.Redis("127.0.0.1", port, decode_responses=True)
    seen(name, lambda: client.set("key", "value"))
    seen(name, lambda: client.get("key"))
    seen(name, lambda: client.incr("key"), "error")
    pipeline = client.pipeline()
    seen(None, lambda: pipeline.set("a", 1).incr("a") is pipeline)
    seen(name, pipeline.execute)
    seen(None, pipeline.execute)
    with client.pipeline() as watching:
        seen(name, lambda: watching.watch("a"))
        seen(name, lambda: watching.get("a"))
        watching.multi()
        watching.set("a", 5)
        seen(name, watching.execute)
    seen(name, lambda: client.pipeline(transaction=False).get("a").get("b").execute())
    seen(name, lambda: client.blpop("nothing", timeout=0.1))
    slow = redis.Redis("127.0.0.1", port, socket_timeout=0.2, retry=None)
    seen(name, lambda: slow.blpop("nothing", timeout=1), "timeout")
    refused = redis.Redis("127.0.0.1", 1, retry=None)
    seen("redis 127.0.0.1:1", refused.ping, "refused")
    pool = redis.BlockingConnectionPool(host="127.0.0.1", port=port, max_connections=1, timeout=0.2)
    held = pool.get_connection("_")
    seen(name, lambda: redis.Redis(connection_pool=pool).ping(), "exhausted")
    pool.release(held)
    small = redis.ConnectionPool(host="127.0.0.1", port=port, max_connections=1)
    held = small.get_connection("_")
    seen(name, lambda: redis.Redis(connection_pool=small).ping(), "exhausted")
    small.release(held)
    seen(name, lambda: redis.from_url(f"redis://user:secret@127.0.0.1:{port}/1").ping(), "error")
    client.close()


async def awaited(seen, port, name):
    client = redis.asyncio.Redis(host="127.0.0.1", port=port, decode_responses=True)
    await seen.awaited(name, lambda: client.set("key", "value"))
    await seen.awaited(name, lambda: client.get("key"))
    await seen.awaited(name, lambda: client.incr("key"), "error")
    await seen.awaited(name, lambda: client.pipeline().set("a", 1).incr("a").execute())
    refused = redis.asyncio.Redis(host="127.0.0.1", port=1, retry=None)
    await seen.awaited("redis 127.0.0.1:1", refused.ping, "refused")
    await client.connection_pool.disconnect()


def scenario(seen, addresses):
    port = addresses["redis"]
    called(seen, port, f"redis 127.0.0.1:{port}")
    return awaited(seen, port, f"redis 127.0.0.1:{port}")
