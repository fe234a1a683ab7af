"""Where data comes from and where what is fetched or made on the way is kept."""

from __future__ import annotations

import os
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]


def data_folder() -> Path:
    """The folder of training data: that of ``$SWATH_SHARED``, or else beside the checkout."""
    shared = Path(os.environ.get("SWATH_SHARED") or CHECKOUT.parent / "shared")
    return shared.absolute() / "data"


def cache_folder() -> Path:
    """Downloads and models that are only measured; never committed."""
    return CHECKOUT / "build" / "training"
