"""What is taken from the interpreter before an application may have replaced it (gevent's monkey patches): imported when the
probe is armed."""

from __future__ import annotations

from _thread import allocate_lock, get_ident, start_new_thread
from time import sleep as native_sleep

__all__ = ["allocate_lock", "get_ident", "native_sleep", "start_new_thread"]
