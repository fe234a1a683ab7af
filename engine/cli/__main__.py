"""``swath``, or ``python -m engine.cli``."""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Sequence

from engine.environment import drop_foreign_geodata


def main(argv: Sequence[str] | None = None) -> int:
    """Do what the arguments say; the exit code."""
    drop_foreign_geodata()
    words = list(sys.argv[1:] if argv is None else argv)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a console that lacks a letter is no failure
    if words[:1] == ["serve"] and "--help" not in words:
        from engine.server.__main__ import main as serve  # noqa: PLC0415 - first answer in time

        return serve(words[1:])
    return _run(words or ["--help"])


def _run(words: list[str]) -> int:
    """Parse and call, with every failure as a sentence and an exit code."""
    # --help and --version stay fast, and serve needs none of it.
    import typer  # noqa: PLC0415

    from engine.cli.app import app  # noqa: PLC0415
    from engine.cli.asking import repeated, split_bounds  # noqa: PLC0415
    from engine.cli.exits import BAD_INPUT, FAILED, STOPPED, exit_code  # noqa: PLC0415
    from engine.cli.printing import complain, note  # noqa: PLC0415
    from engine.contract.errors import EngineError, ErrorCode, ErrorInfo  # noqa: PLC0415
    from engine.contract.places import state_dir  # noqa: PLC0415
    from engine.jobs.defects import record_defect  # noqa: PLC0415

    try:
        words = repeated(split_bounds(words))
        return int(app(words, prog_name="swath", standalone_mode=False) or 0)
    except EngineError as error:
        complain(error.info)
        return exit_code(error.code)
    except typer.TyperException as error:
        hint = "Run the command with --help to see how it is used."
        complain(ErrorInfo(ErrorCode.REQUEST_INVALID, error.format_message(), hint))
        return BAD_INPUT
    except (KeyboardInterrupt, typer.Abort):
        note("Stopped.")
        return STOPPED
    except BrokenPipeError:
        with contextlib.suppress(OSError):
            sys.stdout.close()
        return FAILED
    except Exception:  # noqa: BLE001 - the process boundary: no traceback for users
        complain(record_defect(state_dir() / "logs" / "swath.log"))
        return FAILED


if __name__ == "__main__":
    sys.exit(main())
