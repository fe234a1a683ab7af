"""Similarity: how near the embedding of each place comes to that of a picture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from engine.geo.arrays import Array, beside, namespace
from engine.tasks.values import ValuesTask

LEAST = 1e-12
"""Lengths of embeddings below this one have no direction: their similarity is 0."""


@dataclass(frozen=True)
class SimilarityTask(ValuesTask):
    """See ``task.Task``: the cosine between each embedding and the card's ``query``, -1 to 1."""

    def activate(self, raw: Array) -> Array:
        """Embeddings ``[N, C, H, W]`` as similarities ``[N, 1, H, W]``."""
        xp = namespace(raw)
        query = np.asarray(self.card.output.query, np.float64)
        unit = (query / np.linalg.norm(query)).astype(np.float32)[:, None, None]
        length = xp.sqrt(xp.sum(raw * raw, axis=1, keepdims=True))
        along = xp.sum(raw * beside(unit, raw), axis=1, keepdims=True)
        return along / xp.clip(length, LEAST, None)
