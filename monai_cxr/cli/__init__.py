"""Command line: one function a verb; parse, one call, print."""

from __future__ import annotations

import json
import os
import sys
import traceback
from typing import NoReturn

import typer

from monai_cxr.cli.verbs import Verbs
from monai_cxr.errors import CXRError, InputError, MissingDependency

# Threads wait briefly, then sleep: fast alone, and not many times slower on a shared machine.
os.environ.setdefault("GOMP_SPINCOUNT", "10000")

LEFT_OUT_BY_SERVING = (
    *("ignite", "joblib", "monai", "safetensors", "skimage", "sklearn"),
    *("torch", "torchvision", "torchxrayvision"),
)
"""Dependencies that ``deploy/serving.txt`` lacks; a test compares them."""

EXIT_INPUT, EXIT_USAGE, EXIT_OURS, EXIT_STOPPED = 1, 2, 3, 130

app = typer.Typer(
    name="monai-cxr",
    cls=Verbs,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    help="Chest X-ray classification for MONAI: from films on disk to calibrated findings.\n\n"
    "The usual order: [b]index[/b] a data set, [b]split[/b] it by patient, [b]train[/b] a bundle, "
    "[b]predict[/b], [b]calibrate[/b], [b]evaluate[/b], [b]package[/b], [b]verify[/b]. "
    "[b]demo[/b] does all of it on a digital phantom.\n\n"
    "Exit codes: 0 done, 1 the input is wrong, 2 the command line is wrong, 3 our fault. "
    "Research use only, not a medical device.",
)


@app.callback()
def _verbs() -> None:
    """Take a verb: see :mod:`monai_cxr.cli.verbs`."""


def main() -> NoReturn:
    """Run the command line and translate errors into exit codes."""
    try:
        app()
    except SystemExit as stop:
        if stop.code == EXIT_STOPPED:
            _say_stopped()
        raise
    except CXRError as error:
        _fail(error, EXIT_INPUT)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in LEFT_OUT_BY_SERVING:
            _unexpected(error)
        _fail(_needs(error), EXIT_INPUT)
    except KeyboardInterrupt:
        _say_stopped()
        sys.exit(EXIT_STOPPED)
    except Exception as error:  # noqa: BLE001 - the last boundary: our fault, said in one line
        _unexpected(error)
    sys.exit(0)


def _unexpected(error: Exception) -> NoReturn:
    if os.environ.get("MONAI_CXR_DEBUG"):
        traceback.print_exc()
    _fail(error, EXIT_OURS)


def _needs(error: ModuleNotFoundError) -> MissingDependency:
    return MissingDependency(
        f"This needs the package '{(error.name or '').partition('.')[0]}', which an installation "
        "that only serves exports leaves out. Install the whole package: pip install monai-cxr. Or "
        "give a bundle that holds an export: monai-cxr export BUNDLE --to onnx, where torch is."
    )


def _say_stopped() -> None:
    print("Stopped. What was finished is kept; repeat the command to go on.", file=sys.stderr)  # noqa: T201


def _fail(error: Exception, status: int) -> NoReturn:
    kind = type(error).__name__
    # An unexpected error's text may hold a path or an identity: name its kind alone.
    message = (
        str(error)
        if status == EXIT_INPUT
        else f"unexpected {kind}, our fault. Set MONAI_CXR_DEBUG=1 to see where, and report it."
    )
    if "--json" in sys.argv:
        reason = error.reason if isinstance(error, InputError) else kind
        content = {"error": {"type": kind, "reason": reason, "message": message}}
        print(json.dumps(content, indent=2))  # noqa: T201
    print(f"monai-cxr: {message}", file=sys.stderr)  # noqa: T201
    sys.exit(status)
