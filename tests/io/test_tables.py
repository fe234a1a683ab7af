import csv

import pytest

from engine.contract.errors import EngineError, ErrorCode
from engine.contract.messages import ClassArea
from engine.io.tables import write_area_table

ROWS = (
    ClassArea(0, "clear", "#00ff00", 3, 2700.125, 0.75),
    ClassArea(1, 'cloud, "thick"', "#ffffff", 1, None, 0.25),
)


def test_bytes(tmp_path):
    write_area_table(tmp_path / "a.csv", ROWS)
    assert (tmp_path / "a.csv").read_bytes() == (
        b"class_id,class_name,pixels,area_m2,area_ha,share\n"
        b"0,clear,3,2700.12,0.270012,0.750000\n"
        b'1,"cloud, ""thick""",1,,,0.250000\n'
    )


def test_reads_back(tmp_path):
    write_area_table(tmp_path / "a.csv", [ClassArea(7, "Wälder", "#0", 2, 1e12, 1.0)])
    with (tmp_path / "a.csv").open(encoding="utf-8", newline="") as file:
        (row,) = csv.DictReader(file)
    assert row["class_name"] == "Wälder"
    assert float(row["area_m2"]) == 1e12
    assert float(row["area_ha"]) == 1e8


def test_a_missing_folder_is_explained(tmp_path):
    with pytest.raises(EngineError) as caught:
        write_area_table(tmp_path / "missing" / "a.csv", ROWS)
    assert caught.value.code is ErrorCode.OUTPUT_UNWRITABLE
