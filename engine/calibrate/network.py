"""Fitted models as ONNX networks that see whole images.

``[N, F, H, W]`` becomes one row a pixel, goes through the model, and becomes an image again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.calibrate.applicability import Applicability
from engine.calibrate.forest import Boosted, ClassForest, Ensemble, Forest
from engine.calibrate.intervals import Interval
from engine.calibrate.methods import Fitted
from engine.calibrate.ridge import Ridge
from engine.calibrate.sketch import OPSET, Sketch
from engine.calibrate.texture import Texture

SOURCE, VALUES, DISSIMILARITY = "features", "values", "dissimilarity"
VALUE_BANDS = 3
"""Amount, standard deviation, dissimilarity."""
ROWS, IMAGES = (0, 2, 3, 1), (0, 3, 1, 2)
"""Orders of axes: channels last, and second again."""


@dataclass(frozen=True, eq=False)
class Source:
    """What a network is given."""

    channels: int
    texture: Texture | None = None
    """What is added to them."""
    opset: int = OPSET

    @property
    def features(self) -> int:
        """Channels with those that are added."""
        return self.channels if self.texture is None else 3 * self.channels


def amount_network(model: Fitted, interval: Interval, area: Applicability, source: Source) -> Any:
    """A network of one output ``[N, 3, H, W]``: amount, standard deviation, dissimilarity."""
    sketch = Sketch(source.opset)
    rows = _rows(sketch, source)
    value, spread = _amount(sketch, model, rows)
    squares = sketch.add("Mul", spread, spread)
    floored = sketch.add("Add", squares, sketch.constant(interval.floor**2))
    deviation = _times(sketch, sketch.add("Sqrt", floored), interval.deviation)
    found = sketch.add("Concat", value, deviation, _dissimilarity(sketch, area, rows), axis=1)
    image = _image(sketch, found, VALUE_BANDS)
    return sketch.whole(SOURCE, source.channels, {VALUES: image}, [VALUE_BANDS])


def class_network(model: ClassForest, area: Applicability, source: Source) -> Any:
    """A network of two outputs: probabilities ``[N, K, H, W]``, dissimilarity ``[N, 1, H, W]``."""
    sketch = Sketch(source.opset)
    rows = _rows(sketch, source)
    count = len(model.shares.base)
    shares = _image(sketch, _trees(sketch, model.shares, rows), count)
    odd = _image(sketch, _dissimilarity(sketch, area, rows), 1)
    return sketch.whole(SOURCE, source.channels, {VALUES: shares, DISSIMILARITY: odd}, [count, 1])


def _rows(sketch: Sketch, source: Source) -> str:
    """The features of every pixel, ``[N*H*W, F]``."""
    image = SOURCE if source.texture is None else source.texture.draw(sketch, SOURCE)
    last = sketch.add("Transpose", image, perm=ROWS)
    return sketch.add("Reshape", last, sketch.constant([-1, source.features], np.int64))


def _image(sketch: Sketch, rows: str, depth: int) -> str:
    """Rows ``[N*H*W, depth]`` as an image of the source's size."""
    size = sketch.add("Shape", SOURCE)
    order = sketch.constant([0, 2, 3], np.int64)
    outer = sketch.add("Gather", size, order, axis=0)
    shape = sketch.add("Concat", outer, sketch.constant([depth], np.int64), axis=0)
    return sketch.add("Transpose", sketch.add("Reshape", rows, shape), perm=IMAGES)


def _amount(sketch: Sketch, model: Fitted, rows: str) -> tuple[str, str]:
    """Amount and spread, ``[rows, 1]`` each."""
    if isinstance(model, Ridge):
        return _ridge(sketch, model, rows)
    if isinstance(model, Boosted):
        return _trees(sketch, model.steps, rows), _forest(sketch, model.spread, rows)[1]
    if isinstance(model, Forest):
        return _forest(sketch, model, rows)
    raise TypeError(type(model).__name__)


def _ridge(sketch: Sketch, model: Ridge, rows: str) -> tuple[str, str]:
    moved = sketch.add("Sub", rows, sketch.constant(model.centre))
    z = sketch.add("Div", moved, sketch.constant(model.scale))
    product = sketch.add("MatMul", z, sketch.constant(model.slopes[:, None]))
    value = sketch.add("Add", product, sketch.constant(model.base))
    reach = sketch.add("MatMul", z, sketch.constant(model.root))
    ones = sketch.constant(np.ones((model.root.shape[1], 1)))
    total = sketch.add("MatMul", sketch.add("Mul", reach, reach), ones)
    root = sketch.add("Sqrt", sketch.add("Add", total, sketch.constant(1.0)))
    return value, _times(sketch, root, model.noise)


def _forest(sketch: Sketch, model: Forest, rows: str) -> tuple[str, str]:
    moments = _trees(sketch, model.moments, rows)
    first, second = (_column(sketch, moments, n) for n in (0, 1))
    apart = sketch.add("Sub", second, sketch.add("Mul", first, first))
    spread = sketch.add("Sqrt", sketch.add("Max", apart, sketch.constant(0.0)))
    value = sketch.add("Add", _times(sketch, first, model.scale), sketch.constant(model.centre))
    return value, _times(sketch, spread, model.scale)


def _dissimilarity(sketch: Sketch, area: Applicability, rows: str) -> str:
    """``[rows, 1]``: ``|a - b|² = |a|² + |b|² - 2 a b``, which is one product of matrices."""
    moved = sketch.add("Sub", rows, sketch.constant(area.centre))
    a = sketch.add("Mul", moved, sketch.constant(area.factor))
    ones = sketch.constant(np.ones((area.points.shape[1], 1)))
    own = sketch.add("MatMul", sketch.add("Mul", a, a), ones)
    product = sketch.add("MatMul", a, sketch.constant(-2 * area.points.T))
    squares = sketch.constant((area.points**2).sum(axis=1)[None])
    nearest = sketch.least(sketch.add("Add", product, squares), 1)
    column = sketch.add("Unsqueeze", nearest, sketch.constant([1], np.int64))
    total = sketch.add("Max", sketch.add("Add", own, column), sketch.constant(0.0))
    return _times(sketch, sketch.add("Sqrt", total), 1 / area.limit)


def _times(sketch: Sketch, numbers: str, factor: float) -> str:
    return sketch.add("Mul", numbers, sketch.constant(factor))


def _column(sketch: Sketch, rows: str, number: int) -> str:
    return sketch.add("Gather", rows, sketch.constant([number], np.int64), axis=1)


def _trees(sketch: Sketch, ensemble: Ensemble, rows: str) -> str:
    """The totals of all trees, ``[rows, T]``."""
    width = len(ensemble.base)
    parts = [_nodes(number, tree) for number, tree in enumerate(ensemble.trees)]
    joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    is_leaf = joined["left"] < 0
    weights = np.concatenate([tree.leaves for tree in ensemble.trees])[is_leaf]
    ids = {name: joined[name][is_leaf].repeat(width).tolist() for name in ("tree", "node")}
    return sketch.add(
        "TreeEnsembleRegressor",
        rows,
        domain="ai.onnx.ml",
        n_targets=width,
        base_values=ensemble.base.tolist(),
        nodes_treeids=joined["tree"].tolist(),
        nodes_nodeids=joined["node"].tolist(),
        nodes_featureids=joined["feature"].tolist(),
        nodes_values=joined["threshold"].tolist(),
        nodes_modes=["LEAF" if leaf else "BRANCH_LEQ" for leaf in is_leaf],
        nodes_truenodeids=np.maximum(joined["left"], 0).tolist(),
        nodes_falsenodeids=np.maximum(joined["right"], 0).tolist(),
        target_treeids=ids["tree"],
        target_nodeids=ids["node"],
        target_ids=list(range(width)) * int(is_leaf.sum()),
        target_weights=weights.reshape(-1).tolist(),
    )


def _nodes(number: int, tree: Any) -> dict[str, Any]:
    count = len(tree.left)
    return {
        "tree": np.full(count, number),
        "node": np.arange(count),
        "left": tree.left,
        "right": tree.right,
        "feature": tree.feature,
        "threshold": tree.threshold,
    }
