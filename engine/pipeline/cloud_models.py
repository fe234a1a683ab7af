"""Which model finds a scene's clouds, and what a user should know of those of two dates."""

from __future__ import annotations

from engine.contract.messages import CloudRule
from engine.io.masked import hidden_share, made_by
from engine.io.source import Scene
from engine.models.card import ModelCard
from engine.models.catalogue import REFLECTANCES, UNKNOWN_LEVEL, load_catalogue
from engine.models.store import ModelStore
from engine.pipeline.inputs import Inputs
from engine.pipeline.pairing import date_pair
from engine.pipeline.preflight import Finding, Level, percent

CLEAR, CLOUD = "clear", "cloud"
"""Classes of a cloud model; the first one has the number 0."""
FINEST, COARSEST = 5.0, 60.0
"""Metres: pixels in which models of Sentinel-2 and Landsat know clouds."""
FEW_CLOUDS, MOST_CLOUDS = 0.05, 0.5
"""Shares of a date."""


def cloud_card(scene: Scene, store: ModelStore) -> ModelCard | None:
    """The catalogue's cloud model for a scene; one that is installed, where there is one."""
    size = scene.grid.pixel_size_m
    if size is None or not FINEST <= min(size) <= max(size) <= COARSEST:
        return None
    quantity = scene.profile.quantity
    wanted = REFLECTANCES[0] if quantity == UNKNOWN_LEVEL else quantity
    roles = {band.role for band in scene.bands}
    fitting = [
        card
        for card in load_catalogue()
        if _finds_clouds(card) and card.input.quantity == wanted and roles >= {*card.input.bands}
    ]
    return next(filter(store.is_installed, fitting), next(iter(fitting), None))


def cloud_findings(inputs: Inputs, rule: CloudRule, store: ModelStore) -> tuple[Finding, ...]:
    """How much of two dates is masked as clouds, and which model would mask them.

    Returns:
        Nothing where clouds were not asked about, or no model knows such scenes.
    """
    pair = date_pair(inputs)
    if pair is None or rule != "mask":
        return ()
    named = {"first": pair.first.scene, "second": pair.second.scene}
    found = {name: scene.resolved.mask for name, scene in named.items()}
    masks = {name: mask for name, mask in found.items() if mask is not None}
    cards = {name: cloud_card(named[name], store) for name in named if name not in masks}
    missing = {name: card for name, card in cards.items() if card is not None}
    told = [_masked(masks)] if masks else []
    return (*told, *(_unknown(name, card) for name, card in missing.items()))


def _finds_clouds(card: ModelCard) -> bool:
    named = {member.id: member.name for member in card.output.classes}
    return len(card.inputs) == 1 and named.get(0) == CLEAR and CLOUD in named.values()


def _masked(masks: dict[str, str]) -> Finding:
    shares = {name: hidden_share(mask) for name, mask in masks.items()}
    covered = " and ".join(f"{percent(share)} of the {name} date" for name, share in shares.items())
    models = ", ".join(dict.fromkeys(filter(None, map(made_by, masks.values()))))
    what = f" as clouds and their shadows by {models}" if models else ""
    most = max(shares.values())
    level: Level = "fine" if most <= FEW_CLOUDS else "look" if most <= MOST_CLOUDS else "bad"
    sentence = f"Masked{what}: {covered}. There is no result there."
    return Finding("clouds", level, sentence)


def _unknown(name: str, card: ModelCard) -> Finding:
    sentence = (
        f"Clouds of the {name} date are taken for ground: {card.id}, which finds them, is not "
        f"installed (swath models install {card.id})."
    )
    return Finding("clouds", "look", sentence)
