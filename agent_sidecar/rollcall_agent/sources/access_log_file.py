"""Follows a log file: appended to, rotated, truncated; each line is counted once, also across a crash of this process.

Up to where it was read is kept in shared memory together with how many requests had been counted then. A process that takes
over in the middle of a block passes over as many lines as were counted since. A file of ours is emptied when it has grown:
nobody else does. Between the last look and that, for some microseconds, a line may be lost.
"""

from __future__ import annotations

import mmap
import os
import stat
import struct
from collections.abc import Callable

from ..log import say

MOST_BYTES = 16 << 20
"""A file of ours is emptied above this."""
BLOCK_BYTES = 256 << 10
BLOCKS_PER_TURN = 4
LAST_TURNS = 4
"""A file that was renamed or removed is read until it has brought nothing for so many turns: its server goes on writing there
until it is told to open the new one."""
MOST_LINE_BYTES = 64 << 10
Take = Callable[[bytes], None]
IsLine = Callable[[bytes], bool]
_POSITION = struct.Struct("<QQQ32s")
"""inode, offset, requests counted by then, worker file in which they were counted; all zero: nothing was read yet."""
_PLACES = (64, 128)
_NEWEST = 0
"""Two positions are kept in turn, and which one counts in the first byte: this process may be killed while it writes one."""


class LogFile:
    """The file at `path`. `counted` is how many requests the worker file `identity` has counted so far."""

    def __init__(self, path: str, ours: bool, position: mmap.mmap, identity: bytes, counted: Callable[[], int]) -> None:
        self._path = path
        self._ours = ours
        self._position = position
        self._identity = identity
        self._counted = counted
        self._inode, self._offset, base, known = _POSITION.unpack_from(position, _PLACES[position[_NEWEST] & 1])
        self._begun = any(known)
        self._skip = max(0, counted() - base) if known.rstrip(b"\0") == identity else 0
        self._fd = -1
        self._turns_left = LAST_TURNS

    def read(self, take: Take, is_line: IsLine) -> None:
        """Give each new line to `take`, which counts it if `is_line` says that it is one."""
        try:
            if self._fd < 0 and not self._open(take, is_line):
                return
            if self._drain(take, is_line):
                self._follow()
        except OSError as error:
            say(f"access log {self._path}: {error}", "access log file")
            self._close()

    def _open(self, take: Take, is_line: IsLine) -> bool:
        try:
            fd = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except FileNotFoundError:
            if not self._begun:
                self._begun = True
                self._keep(0, 0)  # whatever comes is new
            return False
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            os.close(fd)
            raise OSError("it is no regular file")
        if not self._begun:
            # What an older volume holds already is no traffic of now.
            self._begun = True
            self._keep(status.st_ino, 0 if self._ours else status.st_size)
        elif status.st_ino != self._inode:
            self._finish_rotated(take, is_line)
            self._keep(status.st_ino, 0)
        self._fd = fd
        return True

    def _finish_rotated(self, take: Take, is_line: IsLine) -> None:
        """The file was renamed while no process of ours had it open: read its rest, if it is still beside the new one."""
        folder = os.path.dirname(self._path)
        for name in os.listdir(folder):
            path = os.path.join(folder, name)
            if self._inode and os.lstat(path).st_ino == self._inode:
                self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW)
                while not self._drain(take, is_line):
                    pass
                self._close()
                return
        self._skip = 0

    def _drain(self, take: Take, is_line: IsLine) -> bool:
        """Read some blocks; whether the end was reached."""
        for _ in range(BLOCKS_PER_TURN):
            block = os.pread(self._fd, BLOCK_BYTES, self._offset)
            end = block.rfind(b"\n") + 1
            if not end:
                if len(block) > MOST_LINE_BYTES:
                    self._keep(self._inode, self._offset + len(block))
                    continue
                return True
            for line in block[: end - 1].split(b"\n"):
                if not self._skip:
                    take(line)
                elif is_line(line):
                    self._skip -= 1  # an earlier process of ours has counted it
            self._keep(self._inode, self._offset + end)
            self._turns_left = LAST_TURNS
            if len(block) < BLOCK_BYTES:
                return True
        return False

    def _follow(self) -> None:
        """At the end of the file: see whether it was truncated or replaced, and empty it when it is ours and has grown."""
        if os.fstat(self._fd).st_size < self._offset:
            self._skip = 0
            self._keep(self._inode, 0)
        elif self._ours and self._offset > MOST_BYTES:
            os.truncate(self._path, 0)
            self._keep(self._inode, 0)
        try:
            replaced = os.stat(self._path).st_ino != self._inode
        except FileNotFoundError:
            replaced = True
        self._turns_left = self._turns_left - 1 if replaced else LAST_TURNS
        if not self._turns_left:
            self._close()
            self._keep(0, 0)  # a new file may get the number of the old one

    def _keep(self, inode: int, offset: int) -> None:
        self._inode, self._offset = inode, offset
        other = ~self._position[_NEWEST] & 1
        _POSITION.pack_into(self._position, _PLACES[other], inode, offset, self._counted(), self._identity)
        self._position[_NEWEST] = other

    def _close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
            self._turns_left = LAST_TURNS
