"""PyTorch as this engine wants it: exact, repeatable, and easy on memory pages."""

from __future__ import annotations

import ctypes
import functools
import os
import threading

import torch

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8
"""Parameters of glibc's ``mallopt``, from its ``malloc.h``."""
NEVER = 2**31 - 1
LARGEST_BLOCK = 2**30


class _Threads(threading.local):
    """What was set in the calling thread."""

    count = 0


_threads = _Threads()


@functools.cache
def settle() -> None:
    """Once a process: float32 and not TF32, the same kernels every time, pages kept."""
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False
    keep_pages()


def keep_pages() -> bool:
    """Let glibc keep the pages of freed tensors for the next ones; whether it did so.

    A pass frees and asks for hundreds of megabytes, which glibc otherwise gives back to the system
    each time, so that every page is cleared and mapped anew. One arena for all threads, or else
    large tensors of threads other than the first would be mapped one by one still.
    """
    if not _has_glibc():
        return False
    library = ctypes.CDLL(None)
    settings = (
        (M_MMAP_THRESHOLD, LARGEST_BLOCK),
        (M_TRIM_THRESHOLD, NEVER),
        (M_ARENA_MAX, 1),
    )
    done = [library.mallopt(*setting) for setting in settings]
    return all(done)


def set_threads(count: int) -> None:
    """Threads of one pass; PyTorch counts them for each calling thread."""
    if _threads.count != count:
        torch.set_num_threads(count)
        _threads.count = count


def _has_glibc() -> bool:
    try:
        return (os.confstr("CS_GNU_LIBC_VERSION") or "").startswith("glibc")
    except (AttributeError, ValueError, OSError):  # another system, another C library
        return False
