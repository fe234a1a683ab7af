"""What a model's file tells of itself, whoever wrote it."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.contract.errors import EngineError, ErrorCode
from engine.models.deepness import BANDS, deepness_known
from engine.models.emd import read_definition
from engine.models.known import Known, named_classes
from engine.models.onnx_facts import OnnxFacts, facts_of
from engine.models.subject import FILE_FORMATS, Subject, readable

LARGEST = 2**33
"""Bytes of a model's file."""
PICTURES = ("classify", "semantic")
"""Tasks of Ultralytics that give classes to pictures or pixels."""
LONGEST = 100_000
"""Characters of a table of names."""


@dataclass(frozen=True, slots=True)
class Found:
    """A model that a user named."""

    subject: Subject
    network: Path | None
    """Its file; None where it is packed."""
    known: Known
    """What the file tells."""
    title: str
    """A name, if it tells none."""


def read_model(path: Path) -> Found:
    """Look into a model's file, without running it.

    Args:
        path: An ONNX, TorchScript, ``.pt2`` or safetensors file, an Esri model definition
            (``.emd``) or package (``.dlpk``).

    Raises:
        EngineError: ``MODEL_NOT_FOUND``, ``MODEL_INVALID``, ``MODEL_UNSUITABLE``.
    """
    suffix = path.suffix.lower()
    if suffix in (".emd", ".dlpk"):
        definition = read_definition(path)
        subject, network = definition.subject, definition.network
        return Found(subject, network, _inner(subject) | definition.known, path.stem)
    if suffix not in FILE_FORMATS:
        raise _foreign(path)
    with readable(path):
        if path.stat().st_size > LARGEST:
            raise _unsuitable(f"{path.name} is larger than 8 GiB")
        content = path.read_bytes()
    subject = Subject(path.name, content, FILE_FORMATS[suffix], path.absolute().parent)
    return Found(subject, path.absolute(), _inner(subject), path.stem)


def _inner(subject: Subject) -> Known:
    """What the network's own file tells."""
    if subject.format == "safetensors":
        from engine.models.torch_smp import read_config  # noqa: PLC0415 - for this format alone

        try:
            channels = read_config(subject.content, subject.folder).get("in_channels", 3)
        except ValueError as error:
            raise _unsuitable(f"{subject.name} cannot be run: {error}") from error
        return Known(channels=channels if isinstance(channels, int) else None)
    if subject.format == "torchscript":
        _check_script(subject)
    if subject.format != "onnx":
        return Known()
    try:
        facts = facts_of(subject.content)
    except ValueError:  # the trial will say what is wrong
        return Known()
    return deepness_known(subject.name, facts) or _ultralytics(subject.name, facts)


def _check_script(subject: Subject) -> None:
    """Refuse what is no TorchScript before anybody answers questions about it."""
    from engine.models.torch_archive import PICKLED, read_members  # noqa: PLC0415 - for it alone

    try:
        members = read_members(subject.content)
    except ValueError as error:
        raise _unsuitable(f"{subject.name} cannot be run: {error}") from error
    if not any(name.startswith("code/") for name in members):
        raise _unsuitable(f"{subject.name} cannot be run: {PICKLED}")


def _ultralytics(name: str, facts: OnnxFacts) -> Known:
    """Of files that Ultralytics exported: pictures from 0 to 1, names of classes."""
    told = facts.metadata
    known = Known(channels=_channels(facts))
    if "task" not in told or "names" not in told:
        return known
    if told["task"] not in PICTURES:
        raise _unsuitable(f"{name} finds objects (task {told['task'][:40]}), which has no map yet")
    names = _literal(told["names"])
    if isinstance(names, dict):
        known |= Known(classes=named_classes([str(text) for text in names.values()]))
    return known | Known(quantity="rgb", transforms=(), licence=told.get("license"))


def _channels(facts: OnnxFacts) -> int | None:
    """Where only one length of a fixed shape can be a number of bands."""
    shape = facts.inputs[0] if facts.inputs else ()
    few = [n for n in shape[1:] if n in BANDS]
    return few[0] if len(few) == 1 else None


def _literal(text: str) -> Any:
    try:
        return ast.literal_eval(text) if len(text) <= LONGEST else None
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return None


def _foreign(path: Path) -> EngineError:
    if path.suffix.lower() in (".pth", ".ckpt", ".pkl", ".pickle", ".bin"):
        what = "a checkpoint: a pickle, which may run any program while it is loaded"
        hint = "Export the network as ONNX, TorchScript or .pt2, or its weights as safetensors."
    else:
        what = "no kind of model that Swath runs"
        hint = f"It runs {', '.join(FILE_FORMATS)} files, and .emd and .dlpk of Esri that name one."
    return EngineError(ErrorCode.MODEL_UNSUITABLE, f"{path.name} is {what}.", hint)


def _unsuitable(why: str) -> EngineError:
    return EngineError(ErrorCode.MODEL_UNSUITABLE, f"{why}.", "Use another model.")
