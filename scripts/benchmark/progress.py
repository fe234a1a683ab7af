"""What the benchmark is doing, for whoever waits."""

from __future__ import annotations

import sys
import time

STARTED = time.perf_counter()


def tell(text: str) -> None:
    """One line on stderr; stdout belongs to the results."""
    print(f"bench {time.perf_counter() - STARTED:6.1f} s  {text}", file=sys.stderr, flush=True)
