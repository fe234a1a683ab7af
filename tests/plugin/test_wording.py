"""Sentences of the engine as a user of the dialog reads them."""

import re
from pathlib import Path

from swath.engine.contract.errors import EngineError, ErrorCode
from swath.plugin.processing.wording import PARAMETERS, in_dialog_words

ENGINE = Path(__file__).parents[2] / "engine"
ROOMS = ("io", "pipeline", "models", "tasks", "geo")


def test_an_option_becomes_a_parameter_and_the_code_stays():
    error = EngineError(ErrorCode.SCALE_UNKNOWN, "Unknown.", "Name it with --input-profile.")
    text = in_dialog_words(error)
    assert "--" not in text
    assert "«Input profile»" in text
    assert text.endswith("[SCALE_UNKNOWN]")


def test_a_further_input_is_a_name_in_the_list_of_names():
    hint = "Give it as --date 2024-07-31, or --with NAME@2024-07-31=FILE."
    text = in_dialog_words(EngineError(ErrorCode.REQUEST_INVALID, "No date.", hint))
    assert "«NAME@2024-07-31» in the parameter «Names of the further layers»" in text
    assert "--" not in text
    assert "FILE" not in text


def test_every_option_that_a_hint_names_has_its_parameter():
    named = {
        option
        for room in ROOMS
        for path in (ENGINE / room).glob("*.py")
        for option in re.findall(r"(?<![\w-])--[a-z][a-z-]+", path.read_text("utf-8"))
    }
    assert named <= {option for option, _ in PARAMETERS}
