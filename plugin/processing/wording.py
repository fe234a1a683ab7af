"""The engine's sentences, said in the words of the dialog instead of the command line's."""

from ...engine.contract.errors import EngineError

PARAMETERS = (
    ("--input-profile", "the parameter «Input profile»"),
    ("--bands", "the parameter «Bands by role»"),
    ("--device", "the parameter «Device»"),
    ("--precision", "the parameter «Precision»"),
    ("--model", "the parameter «Model»"),
    ("--memory", "a computer with more memory"),
    ("--overwrite", "another output name"),
    ("--gsd", "the parameter «Pixel size»"),
    ("--aoi", "the parameter «Only inside these polygons»"),
    ("--vector", "the output «Polygons»"),
    ("--probability", "the output «Probability»"),
    ("--date", "the command «swath apply» with date"),
    ("--with", "the command «swath apply» with"),
    ("--torch", "(with torch)"),
)
"""Options of the command line that hints name, and what a user of the dialog has instead."""


def in_dialog_words(error: EngineError) -> str:
    """What happened, what to do, and the code to look up or report."""
    text = str(error)
    for option, parameter in PARAMETERS:
        text = text.replace(option, parameter)
    return f"{text} [{error.code.value}]"
