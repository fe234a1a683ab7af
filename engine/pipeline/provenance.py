"""What a result must tell about itself."""

from __future__ import annotations

import importlib
import importlib.metadata
from datetime import UTC, datetime

from engine.contract.codec import to_plain
from engine.io.stac import Provenance, record_input
from engine.models.card import ModelCard
from engine.models.inline import is_inline
from engine.models.pair import pair_of
from engine.pipeline.plan import Plan

COMPUTING = ("numpy", "pyproj", "rasterio", "shapely")
"""Libraries whose version can change a result, beside the one that runs the model."""

FITTED = "fitted to the inputs"
"""Where the numbers of a method come from that learnt nothing before."""


def describe(plan: Plan, device: str) -> Provenance:
    """Everything that decided what the result of ``plan`` is, run on ``device`` now."""
    recipe, card = plan.recipe, plan.recipe.card
    members = card.output.classes or card.output.values
    return Provenance(
        title=f"{card.title}: {', '.join(m.name for m in members[:12])}",
        model_id=card.id,
        model_version=card.version,
        model_sha256=card.file.sha256,
        model_source=FITTED if is_inline(card.file.uri) else card.file.uri,
        model_license=card.license,
        plan_digest=plan.digest,
        inputs=tuple(record_input(uri) for uri in recipe.uris),
        profile=recipe.input.profile,
        scaling=plan.scaling,
        device=device,
        engine_version=recipe.engine,
        created=datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        acquired=plan.acquired,
        software={n: importlib.metadata.version(n) for n in COMPUTING} | _runtime(card, device),
        options=_options(plan),
        notes=plan.notes,
    )


def _runtime(card: ModelCard, device: str) -> dict[str, str]:
    """The libraries that really ran the model, by their own word: packages have several names."""
    if card.file.format == "pair":
        return _runtime(pair_of(card).network, device)
    if card.file.format == "onnx":
        name = "openvino" if "openvino" in device.lower() else "onnxruntime"
        return {name: str(importlib.import_module(name).__version__)}
    if card.file.format in ("transition", "response"):
        return {}
    if card.file.format == "difference":
        return {"scipy": importlib.metadata.version("scipy")}
    found = {"torch": str(importlib.import_module("torch").__version__)}
    if card.file.format == "safetensors":
        smp = "segmentation-models-pytorch"
        found[smp] = importlib.metadata.version(smp)
    return found


def _options(plan: Plan) -> dict[str, object]:
    recipe = plan.recipe
    return {
        "bands": to_plain(recipe.input.bands),
        "nodata": recipe.input.nodata,
        "gsd": recipe.input.gsd,
        "region": to_plain(recipe.region),
        "aoi": recipe.aoi,
        "device": recipe.device,
        "precision": recipe.precision,
        "polygons": to_plain(plan.polygons),
        "tile": to_plain(recipe.rule),
        "source_pixels_per_model_pixel": list(recipe.factors),
    }
