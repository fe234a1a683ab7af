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
    ("--report", "the output «Report»"),
    ("--date", f"the parameter «Date of the raster layer» {APPLY}"),
    ("--with", NAMES),
    ("--query", f"the parameter «Picture of what is looked for» {APPLY}"),
    ("--before-date", f"the parameter «Date of the layer before» {CHANGE}"),
    ("--after-date", f"the parameter «Date of the layer after» {CHANGE}"),
    ("--after-profile", f"the parameter «Input profile of the layer after» {CHANGE}"),
    ("--method", f"the parameter «Method» {CHANGE} with"),
    ("--false-alarm", f"the parameter «Tolerated share of false alarms» {CHANGE}"),
    ("--threshold", f"the parameter «Where change begins» {CHANGE}"),
    ("--also", f"the parameter «Further dates» {CHANGE}"),
    ("--coregister", f"the box «Move the layer after onto the layer before» {CHANGE}"),
    ("--clouds", f"the box «Leave out clouds and their shadows» {CHANGE}"),
    ("--iou", "the parameter «Overlap from which on an object is the same»"),
    ("--square", "(right angles)"),
    ("--min-area", "the parameter «Smallest polygon»"),
    ("--fill-holes", "(filled holes)"),
    ("--simplify", "(simplified outlines)"),
    ("--bounds-crs", "the extent's CRS"),
    ("--bounds", "the parameter «Extent»"),
    ("--prior", NAMES),
    ("--output-type", "(type of numbers)"),
    ("--height", "the parameter «Canopy height»"),
    ("--allometry", "the parameter «Formula»"),
    ("--factor", "the parameter «Factor of your own formula»"),
    ("--exponent", "«Exponent of your own formula»"),
    ("--residual", "«Error of your own formula»"),
    ("--plots", "the parameter «Plots drawn at random over the polygons»"),
    ("--plot", "the parameter «Side of the plots»"),
    ("--field", "the parameter with the field"),
    ("--strata", "the field with the class that each point was drawn in"),
    ("--values", "the box «The map holds amounts»"),
    ("--correlation", "the parameter «Distance within which errors resemble each other»"),
    ("--deviation", "the parameter «Standard deviation of every pixel»"),
    ("--systematic", "the parameter «Error that all pixels share»"),
    ("--between-dates", "the parameter «Correlation of the errors of both dates»"),
    ("--predictors", "the parameter «Rasters to tell it from»"),
    ("--classes", "the box «The field holds classes rather than amounts»"),
    ("--group", "the parameter «Field that says which plots belong together»"),
    ("--error", "the parameter «Field with the standard error of the amount»"),
    ("--radius", "the parameter «Radius of plots around points»"),
    ("--texture", "the parameter «Pixels along the window of texture»"),
    ("--unit", "the parameter «Unit of the amounts»"),
    ("--encoder", "the command line's --encoder"),
    ("--size", "the parameter «Points in all»"),
    ("--least", "the parameter «Points in every class at least»"),
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
