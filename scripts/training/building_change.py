"""Trains the building-change model: new buildings and gone ones in pictures of two dates."""

from __future__ import annotations

import argparse
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
import torch

from training.buildings import banepa_train, kampala_train, mosaics, part
from training.crops import Mosaic
from training.encoder import MEAN, STD
from training.exams import CHANGES, Exam, Mapper, examined, found
from training.export import write_onnx
from training.fitting import Schedule, fit, repeatable
from training.mapping import FREE, open_model
from training.overlap import Tally, overlap_loss
from training.pairnet import BANDS, Pairnet, taught
from training.pairs import Lesson, batches, reduced
from training.places import CHECKOUT, data_folder
from training.rivals import F32, U8, by_irmad, by_maps, by_vectors
from training.twice import read_place
from training.unet import STRIDE, swift

MODELS = CHECKOUT / "resources" / "models"
EDGE, COUNT = 256, 4
FROZEN = 4
FIRST, CUT = Schedule(2600, 1e-3, warm=50, told=20), 1473
"""A schedule, and after how many of its steps it is left."""
SECOND = Schedule(350, 6e-4, warm=30, told=20)
"""Goes on from the averaged weights of the first."""
EXAMPLE = torch.zeros(1, 2 * BANDS, 4 * STRIDE, 4 * STRIDE)
LEVELS = {1: 0.5, 2: 0.25, 4: 0.25}
"""How many pixels of the files along one that is learnt from, and how often."""
SIDES = 0.25
"""Weight of each date's buildings in the loss."""


def lessons(data: Path) -> list[Lesson]:
    """What is learnt from, from about 0.13 to 1 m."""
    kampala, banepa = data / "fair_kampala_buildings", data / "fair_banepa_buildings"
    coarse = mosaics(kampala / "z20", kampala_train(20))
    fine = mosaics(kampala / "z21", kampala_train(21))
    town = mosaics(banepa, banepa_train)
    near = [
        *(replace(m, share=0.2 * part(m, coarse), zoom=(0.85, 1.25)) for m in coarse),
        *(replace(m, share=0.1 * part(m, fine), zoom=(0.5, 0.9)) for m in fine),
        *(replace(m, share=0.7, zoom=(0.85, 1.25)) for m in town),
    ]
    half = _smaller(coarse, 2, 0.25, (0.6, 1.2)) + _smaller(town, 2, 0.75, (0.6, 1.2))
    quarter = _smaller(coarse[1:], 4, 0.15, (1.0, 1.3)) + _smaller(town, 4, 0.85, (0.55, 1.3))
    made = zip((near, half, quarter), LEVELS.values(), strict=True)
    return [Lesson(tuple(level), share) for level, share in made]


def _smaller(
    several: list[Mosaic], times: int, share: float, zoom: tuple[float, float]
) -> list[Mosaic]:
    return [replace(reduced(m, times), share=share * part(m, several), zoom=zoom) for m in several]


def pair_loss(said: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Overlap of the change, and a little of each date's buildings."""
    change, before, after = said.split((3, 2, 2), 1)
    sides = overlap_loss(before, labels[:, 1]) + overlap_loss(after, labels[:, 2])
    return overlap_loss(change, labels[:, 0]) + SIDES * sides


def train(data: Path) -> torch.nn.Module:
    """The network with averaged weights, from that of single dates on."""
    repeatable(seed=0, threads=1)
    network = swift(Pairnet(taught(MODELS / "buildings.onnx", FROZEN)))
    learnt = lessons(data)
    first = islice(batches(learnt, EDGE, COUNT, seed=0), CUT)
    return second(fit(network, first, pair_loss, FIRST), learnt)


def second(network: torch.nn.Module, learnt: list[Lesson]) -> torch.nn.Module:
    """What the first schedule came to, brought to rest."""
    repeatable(seed=1, threads=1)
    return fit(network, batches(learnt, EDGE, COUNT, seed=1), pair_loss, SECOND)


def main() -> None:
    """Train, write the model, and print how good the written file is."""
    parser = argparse.ArgumentParser(prog="scripts/train/building-change", description=__doc__)
    parser.add_argument("data", nargs="?", type=Path, default=data_folder())
    parser.add_argument("--score", action="store_true", help="only measure the model that is there")
    asked = parser.parse_args()
    target = MODELS / "building-change.onnx"
    if not asked.score:
        network = train(asked.data)
        print(write_onnx(network, EXAMPLE, target, FREE))
    report(target, asked.data)


def exams(data: Path) -> list[Exam]:
    """Places that nothing was learnt from, from 0.15 to about 1 m."""
    kampala, banepa = data / "fair_kampala_buildings", data / "fair_banepa_buildings"
    held = mosaics(kampala / "z20", lambda c, r: not kampala_train(20)(c, r))
    town = mosaics(banepa, lambda c, r: not banepa_train(c, r))
    places = [replace(m, zoom=(1.0, 1.001), exact=1.0) for m in (*held, *town)]

    def lesson(times: int, first: int = 1) -> Lesson:
        return Lesson(tuple(reduced(m, times) for m in places[first:]), 1.0)

    return [
        Exam("Kampala, 0.15 m", Lesson(tuple(places[:1]), 1.0)),
        Exam("Banepa, 0.13 m", Lesson(tuple(places[1:]), 1.0)),
        Exam("Banepa, 0.3 m", lesson(2)),
        Exam("Banepa, 0.5 m", lesson(4)),
        Exam("Banepa, 1 m", lesson(8), edge=128),
    ]


def report(model: Path, data: Path) -> None:
    """Print what the written model finds, beside what other ways find."""
    session, maps = open_model(model), open_model(MODELS / "buildings.onnx")
    print(f"{model.name}: {model.stat().st_size} bytes")
    ways: dict[str, Mapper] = {
        "this model": partial(_mapped, session),
        "two maps of the building model": partial(by_maps, maps),
        "IR-MAD": by_irmad,
        "everything": lambda before, _after: np.ones(before.shape[1:], np.uint8),
    }
    for exam in exams(data):
        print(exam.name)
        pairs = exam.pairs()
        for name, way in ways.items():
            examined(name, way, pairs)
    report_dubai(ways | {"change vectors": by_vectors}, data / "dubai_mbrsc")


def report_dubai(ways: dict[str, Mapper], folder: Path) -> None:
    """Print what is found in a real pair of days, whose labels are too coarse to judge by."""
    place = read_place(folder)
    days = [((day / 255 - MEAN) / STD).astype(np.float32) for day in (place.before, place.after)]
    print(f"Dubai, two days: {100 * np.mean(place.labels[place.known] > 0):.1f} % labelled change")
    for name, way in ways.items():
        tally = Tally(len(CHANGES))
        said = way(*days)
        tally.add(place.labels, said)
        share = np.mean(said[place.known] > 0)
        print(f"  {name}: {found(tally.counts)}; {100 * share:.2f} % called change")


def _mapped(session, before: F32, after: F32) -> U8:  # noqa: ANN001 - onnxruntime has no types
    """The likeliest class; sides are filled up to multiples of the stride."""
    height, width = before.shape[1:]
    both = np.concatenate([before, after])
    padded = np.pad(both, ((0, 0), (0, -height % STRIDE), (0, -width % STRIDE)))
    scores = session.run(None, {"input": padded[None]})[0][0]
    decided: U8 = scores.argmax(0).astype(np.uint8)[:height, :width]
    return decided


if __name__ == "__main__":
    main()
