"""A module from the user's own Python: ``mynet.py:Denoiser`` or ``package.module:factory``."""

import ast
import importlib
import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn

from pipeline.errors import MalformedError, UsageError, one_line, unknown
from pipeline.export.module.blame import user_line


def load_module(name: str, arguments: Sequence[str]) -> nn.Module:
    """The module that ``name`` says, made with ``arguments`` such as ``hidden=64``.

    A class or function is called with them; a module that is already made is taken as it is.

    Raises:
        UsageError: there is no such file, module, class or function; or an argument has no ``=``.
        MalformedError: its Python raises an error, or gives something that is no ``nn.Module``.
    """
    place, _, attribute = name.rpartition(":")
    keywords = dict(_argument(text) for text in arguments)
    found: Any = _run(place)
    for part in attribute.split("."):
        if not hasattr(found, part):
            known = [one for one, value in vars(found).items() if _makes_modules(value)]
            if not known:
                raise UsageError(f"{place} has no {part}, and no class or function of its own")
            raise unknown(f"class or function of {place}", part, known)
        found = getattr(found, part)
    if isinstance(found, nn.Module):
        if keywords:
            raise UsageError(f"{name} is a module and takes no --arg; name its class")
        return found
    if not callable(found):
        raise MalformedError(f"{name} is a {type(found).__name__}; name a class or a function")
    try:
        made = found(**keywords)
    except Exception as error:
        raise MalformedError(
            f"{name} fails{_at(error)}: {one_line(error)}; give its arguments by --arg NAME=VALUE"
        ) from error
    if not isinstance(made, nn.Module):
        raise MalformedError(f"{name} gives a {type(made).__name__}, not an nn.Module")
    return made


def _argument(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals or not name.isidentifier():
        raise UsageError(f"--arg {text}: give NAME=VALUE")
    try:
        return name, ast.literal_eval(value)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return name, value  # a word without quotes


def _run(place: str) -> ModuleType:
    """The Python module in a file, or of a name, with its folder first in the search path."""
    path = Path(place)
    is_file = path.suffix == ".py"
    if is_file and not path.is_file():
        raise UsageError(f"{place} is no file; give the path of your Python file")
    sys.path.insert(0, str(path.resolve().parent if is_file else Path.cwd()))
    try:
        if not is_file:
            return importlib.import_module(place)
        spec = importlib.util.spec_from_file_location(path.stem, path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[path.stem] = module
        spec.loader.exec_module(module)
        return module
    except ModuleNotFoundError as error:
        raise UsageError(f"{place} needs {error.name}, which is not there; install it") from error
    except SystemExit as error:
        raise MalformedError(
            f"{place} ends the program while it is read; put that below if __name__ == '__main__'"
        ) from error
    except Exception as error:
        raise MalformedError(f"{place} cannot be run{_at(error)}: {one_line(error)}") from error


def _makes_modules(value: Any) -> bool:
    is_class = isinstance(value, type) and issubclass(value, nn.Module)
    return isinstance(value, nn.Module) or (is_class and not value.__module__.startswith("torch."))


def _at(error: BaseException) -> str:
    line = user_line(error)
    return f" at {line}" if line else ""
