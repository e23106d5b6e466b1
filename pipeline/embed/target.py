"""A target: the description of one environment that a bundle can be embedded in.

To add one, add a folder beside this file, with an ``__init__.py`` that calls it ``TARGET`` and a
folder ``client`` of what is copied. Nothing else has to know of it.
"""

import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.contract import Bundle
from pipeline.errors import UnavailableError
from pipeline.trust import Trust

if TYPE_CHECKING:  # it imports numpy, and help does not need that
    from pipeline.contract.law import Precision

CLIENT = "client"  # the folder of a target that is copied as it is

CommandLine = tuple[str, ...]


@dataclass(frozen=True)
class Program:
    """A program that must be on the PATH, by its name or by one of ``others``.

    ``package`` is the Debian package that it is in, where that is called otherwise.
    """

    name: str
    package: str = ""
    others: tuple[str, ...] = ()

    @property
    def debian(self) -> str:
        """The Debian package of the program; other distributions use similar names."""
        return self.package or self.name

    def find(self) -> str | None:
        """The path of the program, or None."""
        return next(filter(None, map(shutil.which, (self.name, *self.others))), None)


@dataclass(frozen=True)
class Page:
    """The page of a target that a browser opens in place of programs.

    ``serve`` is a context manager that serves the project in a folder on a port (0 takes a free
    one) and gives the URL. ``replay`` opens that URL and returns the report of the replay, for
    which it waits the given number of seconds.
    """

    serve: Callable[[Path, int], AbstractContextManager[str]]
    replay: Callable[[str, float], Mapping[str, Any]]


@dataclass(frozen=True)
class Target:
    """A target: the files of its project, what they need, and the commands to build and run it.

    ``name`` is its name in commands, and ``title`` its name for people. ``help`` says what runs the
    model, and ``limits`` which models it refuses and what else it needs; neither ends in a full
    stop. A target without a ``replay`` and without a ``page`` is not run here.

    ``clients`` are folders whose content is copied. ``file`` is the model file that the project
    runs; it is empty if ``generated`` makes files from the bundle that contain the model. If it
    ``runs_code``, that file is a program that must be trusted. ``precision`` is what it computes
    in, of which the law has the tolerance. ``loops`` names the graphs with the loop inside that it
    runs.

    ``programs`` must be installed, and so must those ``headers`` (path below ``/usr/include`` →
    Debian package) that the replay includes. ``build`` returns commands to run in the folder of the
    project. ``replay`` is the command that replays the golden trajectories, for a target without a
    ``page``. ``start`` is the command that starts a project that is not run here.
    """

    name: str
    title: str
    help: str
    clients: tuple[Path, ...]
    limits: str = ""
    file: str = ""
    runs_code: bool = False
    precision: "Precision" = "float32"
    loops: tuple[str, ...] = ()
    generated: Callable[[Bundle], Mapping[str, bytes]] | None = None
    programs: tuple[Program, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    build: Callable[[], Sequence[CommandLine]] = tuple
    replay: CommandLine = ()
    start: CommandLine = ()
    page: Page | None = None

    @property
    def is_run_here(self) -> bool:
        """Whether its projects can be built and replayed, by ``validate`` and ``benchmark``."""
        return bool(self.replay or self.page)

    def require_trusted(self, bundle: Bundle, trust: Trust) -> None:
        """Make sure that the file of ``bundle`` that the project runs may run.

        Raises:
            UnsafeError: the file is code, and ``trust`` does not cover it.
            PipelineError: a file of the bundle is missing or was changed.
        """
        if self.runs_code:
            trust.require(bundle)

    def require(self) -> None:
        """Make sure that the project can be built and run here.

        Raises:
            UnavailableError: a program is missing; the message names it.
        """
        for program in self.programs:
            if program.find() is None:
                raise UnavailableError(
                    f"{self.title} needs {program.name}, which is not there; install it (Debian: "
                    f"apt-get install {program.debian})"
                )

    @property
    def debian(self) -> tuple[str, ...]:
        """The Debian packages that the target needs, each once."""
        packages = (*(program.debian for program in self.programs), *self.headers.values())
        return tuple(dict.fromkeys(packages))
