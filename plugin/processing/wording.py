"""The engine's sentences, said in the words of the dialog instead of the command line's."""

import re

from ...engine.contract.errors import EngineError

APPLY = "of the algorithm «Apply a model»"
CHANGE = "of the algorithm «Find changes»"
NAMES = f"the parameter «Names of the further layers» {APPLY}"
NAMED = re.compile(r"--with (\S+)=FILE")
"""A further input by its name, as hints write it."""
PARAMETERS = (
    ("--input-profile", "the parameter «Input profile»"),
    ("--bands", "the parameter «Bands by role»"),
    ("--device", "the parameter «Device»"),
    ("--precision", "the parameter «Precision»"),
    ("--model", "the parameter «Model»"),
    ("--memory", f"the parameter «Memory» {APPLY}"),
    ("--overwrite", "another output name"),
    ("--gsd", "the parameter «Pixel size»"),
    ("--nodata", "the parameter «Value without data»"),
    ("--aoi", "the parameter «Only inside these polygons»"),
    ("--vector", "the output «Polygons»"),
    ("--probability", "the output «Class probabilities»"),
    ("--date", f"the parameter «Date of the raster layer» {APPLY}"),
    ("--with", NAMES),
    ("--query", f"the parameter «Picture of what is looked for» {APPLY}"),
    ("--before-date", f"the parameter «Date of the layer before» {CHANGE}"),
    ("--after-date", f"the parameter «Date of the layer after» {CHANGE}"),
    ("--after-profile", f"the parameter «Input profile of the layer after» {CHANGE}"),
    ("--method", f"the parameter «Method» {CHANGE} with"),
    ("--false-alarm", f"the parameter «Tolerated share of false alarms» {CHANGE}"),
    ("--threshold", f"the parameter «Where change begins» {CHANGE}"),
    ("--coregister", f"the box «Move the layer after onto the layer before» {CHANGE}"),
    ("--square", "(right angles)"),
    ("--torch", "(with torch)"),
    ("--accept-licence", "(with the licence accepted)"),
)
"""Options of the command line that hints name, and what a user of the dialog has instead."""


def in_dialog_words(error: EngineError) -> str:
    """What happened, what to do, and the code to look up or report."""
    return f"{without_options(str(error))} [{error.code.value}]"


def without_options(text: str) -> str:
    """A sentence of the engine with parameters where it names options."""
    text = NAMED.sub(rf"«\1» in {NAMES}", text)
    for option, parameter in PARAMETERS:
        text = text.replace(option, parameter)
    return text
