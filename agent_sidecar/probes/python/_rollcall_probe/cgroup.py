"""What the kernel says of the container that this process runs in: CPU, throttling, memory, OOM kills. cgroup v1 and v2.

A container sees its own cgroup only, so nobody else in the pod could read this. Of all workers of a container one reads, that
one which holds a lock; when it ends another takes over.
"""

from __future__ import annotations

import fcntl
import os

_NO_LIMIT = 1 << 60
"""v1 says "no limit" by a number near 2**63."""
LOCK = "/.resources"


def lock(folder):
    """A descriptor that holds the lock of `folder`, or None when another process has it. Raises OSError."""
    fd = os.open(folder + LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return fd
    except BlockingIOError:
        os.close(fd)
        return None


def find(root="/sys/fs/cgroup", own="/proc/self/cgroup"):
    """A function that returns (cpu_us, throttled_us, memory_bytes, memory_limit_bytes, cpu_quota_millis, oom_kills); raises
    OSError where the kernel shows no cgroup that can be read."""
    paths = _own_paths(own)
    if os.path.exists(root + "/cgroup.controllers"):
        folder = _existing(root, paths.get("", "/"), "memory.current")
        return lambda: _read_v2(folder)
    cpu = _existing(_controller(root, "cpu"), paths.get("cpu", "/"), "cpu.stat")
    account = _existing(_controller(root, "cpuacct"), paths.get("cpuacct", "/"), "cpuacct.usage")
    memory = _existing(_controller(root, "memory"), paths.get("memory", "/"), "memory.usage_in_bytes")
    return lambda: _read_v1(cpu, account, memory)


def _own_paths(own):
    """Controller → path of this process's cgroup; the empty name stands for v2."""
    paths = {}
    with open(own) as file:
        for line in file:
            _, controllers, path = line.rstrip("\n").split(":", 2)
            for controller in controllers.split(","):
                paths[controller] = path
    return paths


def _controller(root, name):
    return next((root + "/" + entry for entry in sorted(os.listdir(root)) if name in entry.split(",")), root + "/" + name)


def _existing(root, path, file):
    """The folder of our cgroup: `path` where the whole tree is mounted, else what is mounted is ours already."""
    for folder in (root + path.rstrip("/"), root):
        if os.path.exists(folder + "/" + file):
            return folder
    raise OSError("no %s below %s" % (file, root))


def _text(path):
    with open(path) as file:
        return file.read()


def _table(path):
    return {key: int(value) for key, value in (line.split() for line in _text(path).splitlines())}


def _read_v2(folder):
    cpu, memory = _table(folder + "/cpu.stat"), _table(folder + "/memory.stat")
    quota, _, period = _text(folder + "/cpu.max").partition(" ")
    limit = _text(folder + "/memory.max").strip()
    events = _table(folder + "/memory.events")
    return (
        cpu["usage_usec"],
        cpu.get("throttled_usec", 0),
        max(0, int(_text(folder + "/memory.current")) - memory.get("inactive_file", 0)),
        0 if limit == "max" else int(limit),
        0 if quota == "max" else int(quota) * 1000 // int(period),
        events.get("oom_kill", 0),
    )


def _read_v1(cpu, account, memory):
    quota, period = int(_text(cpu + "/cpu.cfs_quota_us")), int(_text(cpu + "/cpu.cfs_period_us"))
    limit = int(_text(memory + "/memory.limit_in_bytes"))
    usage, inactive = (
        int(_text(memory + "/memory.usage_in_bytes")),
        _table(memory + "/memory.stat").get("total_inactive_file", 0),
    )
    return (
        int(_text(account + "/cpuacct.usage")) // 1000,
        _table(cpu + "/cpu.stat").get("throttled_time", 0) // 1000,
        max(0, usage - inactive),
        limit if limit < _NO_LIMIT else 0,
        quota * 1000 // period if quota > 0 and period > 0 else 0,
        _table(memory + "/memory.oom_control").get("oom_kill", 0),
    )
