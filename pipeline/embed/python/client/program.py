"""What the two programs share: their options, and how they end."""

import argparse
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

try:
    from model import RUNTIME, Model, ModelError
except ImportError as error:
    print(f"error: {error}; run 'pip install -r requirements.txt'", file=sys.stderr)
    sys.exit(7)


class Parser(argparse.ArgumentParser):
    """Options, ``--model`` among them; a wrong one is an error of one line."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.add_argument("--model", type=Path, default=Path(__file__).with_name("model"))

    def error(self, message: str) -> NoReturn:
        """Say what is wrong, and exit."""
        print(f"error: {message}; see {self.prog} --help", file=sys.stderr)
        sys.exit(2)


def run(folder: Path, program: Callable[[Model], bool]) -> NoReturn:
    """Exit with 0 if the program agrees with its model, with 1 if not, or as an error says."""
    for name in {"SIGINT", "SIGPIPE"} & set(dir(signal)):  # end quietly, as other programs do
        signal.signal(getattr(signal, name), signal.SIG_DFL)
    sys.stdout.reconfigure(encoding="utf-8")  # type: ignore[union-attr]
    try:
        sys.exit(0 if program(Model(folder)) else 1)
    except ModelError as error:
        message, code = str(error), error.code
    except (LookupError, TypeError, ValueError, OverflowError, RecursionError) as error:
        why = f"{type(error).__name__}: {error}"
        files = "manifest.json, golden.json or initial.json"
        message = f"{files} in {folder} is malformed ({why}); export it anew"
        code = 3
    except Exception as error:  # those of ONNX Runtime have no class in common
        why = " ".join(str(error).split())
        message, code = f"{RUNTIME} cannot run {folder} ({why}); install a newer one", 7
    # A terminal shall take nothing of it for a command.
    plain = "".join(one if one.isprintable() else repr(one)[1:-1] for one in message)
    print(f"error: {plain}", file=sys.stderr)
    sys.exit(code)
