"""A probe with a fault, in the place of the real one: half a second after its start the process is dead."""

import ctypes
import threading
import time


def _crash():
    time.sleep(0.5)
    ctypes.string_at(0)  # a real fault: the kernel shields process 1 of a container from signals that are merely sent


threading.Thread(target=_crash, daemon=True).start()
