"""Redis by redis-py, called and awaited: a command or a pipeline is a call. Clusters and subscriptions are not seen."""

from __future__ import annotations

import os

from .hook import Hook, remembered

_hook = Hook("redis")
_DEFAULT_PORT = 6379


def _read_name(pool) -> str:
    options = pool.connection_kwargs
    if options.get("path"):
        return "redis " + os.path.basename(options["path"])
    host = options.get("host") or getattr(pool, "service_name", None) or "localhost"  # a service of Redis Sentinel
    port = options.get("port", _DEFAULT_PORT)
    return "redis %s" % host if port in (_DEFAULT_PORT, None) else "redis %s:%s" % (host, port)


_name = remembered(_read_name, "connection_pool")


def _pipeline_name(pipeline, *_):
    """An empty pipeline sends nothing."""
    return _name(pipeline) if pipeline.command_stack else None


def redis(module) -> None:
    """`redis.client`."""
    _hook.patch(module.Redis, _name, "execute_command")
    _hook.patch(module.Pipeline, _pipeline_name, "execute")
    _hook.patch(module.Pipeline, _name, "immediate_execute_command")


def redis_async(module) -> None:
    """`redis.asyncio.client`."""
    _hook.patch_async(module.Redis, _name, "execute_command")
    _hook.patch_async(module.Pipeline, _pipeline_name, "execute")
    _hook.patch_async(module.Pipeline, _name, "immediate_execute_command")
