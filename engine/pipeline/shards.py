"""Parts of a run for several processes."""

from __future__ import annotations

from collections.abc import Sequence

from engine.contract.messages import Shard
from engine.geo.tiling import Block


def blocks_of(shard: Shard, blocks: Sequence[Block]) -> tuple[Block, ...]:
    """The blocks of a shard: neighbours, because they share tiles.

    The shards of one count share the blocks out exactly; a shard may have none.
    """
    first, stop = (len(blocks) * n // shard.count for n in (shard.number - 1, shard.number))
    return tuple(blocks[first:stop])
