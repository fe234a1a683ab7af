"""What a result must tell about itself."""

from __future__ import annotations

import importlib.metadata
from datetime import UTC, datetime

from engine.contract.codec import to_plain
from engine.io.stac import Provenance, record_input
from engine.pipeline.plan import Plan

COMPUTING = ("numpy", "onnxruntime", "pyproj", "rasterio", "shapely")
"""Libraries whose version can change a result."""


def describe(plan: Plan, device: str) -> Provenance:
    """Everything that decided what the result of ``plan`` is, run on ``device`` now."""
    recipe, card = plan.recipe, plan.recipe.card
    members = card.output.classes or card.output.values
    return Provenance(
        title=f"{card.title}: {', '.join(m.name for m in members[:12])}",
        model_id=card.id,
        model_version=card.version,
        model_sha256=card.file.sha256,
        model_source=card.file.uri,
        model_license=card.license,
        plan_digest=plan.digest,
        inputs=tuple(record_input(uri) for uri in recipe.uris),
        profile=recipe.input.profile,
        scaling=plan.scaling,
        device=device,
        engine_version=recipe.engine,
        created=datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        acquired=plan.acquired,
        software={name: importlib.metadata.version(name) for name in COMPUTING},
        options=_options(plan),
        notes=plan.notes,
    )


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
