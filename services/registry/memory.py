"""glibc's allocator, told that megabytes come and go here all the time.

By default it keeps an arena for every few threads, each with its own leftovers of large blocks: an upload of 1 GB then
leaves the process 300 MB larger. And it gives large blocks back to the kernel at once, only to get them zeroed again
for the next message.
"""

from __future__ import annotations

import ctypes
import platform

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8  # malloc.h
_MB = 1024 * 1024


def for_large_messages() -> None:
    """To be called before threads are started; does nothing where the C library is another one."""
    if platform.libc_ver()[0] != "glibc":
        return
    libc = ctypes.CDLL(None)
    for option, value in ((_ARENA_MAX, 2), (_MMAP_THRESHOLD, 16 * _MB), (_TRIM_THRESHOLD, 32 * _MB)):
        libc.mallopt(option, value)
