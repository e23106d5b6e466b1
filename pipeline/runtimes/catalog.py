"""The catalog of runtimes: which exist, which can run here, and how each opens a bundle."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from pkgutil import iter_modules

import pipeline.runtimes
from pipeline.contract import Bundle
from pipeline.errors import UnavailableError, UsageError, unknown
from pipeline.packages import how_to_install, package_version
from pipeline.runtimes.base import Absent, Refused, Runtime, RuntimeProcessError, Unsafe
from pipeline.runtimes.isolated import TIME_LIMIT, Worker
from pipeline.runtimes.kind import PROVIDERS, Kind
from pipeline.runtimes.stepwise import Stepwise
from pipeline.threads import weights_in
from pipeline.trust import Trust, Verdict

_APART = {"catalog", "pytorch"}  # this file, and the reference, which imports torch


def _found() -> dict[str, Kind]:
    """The runtimes by name: those whose file is code, those always installed, the optional ones."""
    names = {item.name for item in iter_modules(pipeline.runtimes.__path__)} - _APART
    modules = [import_module(f"pipeline.runtimes.{name}") for name in sorted(names)]
    kinds = [module.KIND for module in modules if hasattr(module, "KIND")]
    kinds.sort(key=lambda kind: (not kind.runs_code, kind.optional, kind.name))
    return {kind.name: kind for kind in kinds}


RUNTIMES = _found()
ALL = tuple(RUNTIMES)


def known_providers() -> tuple[str, ...]:
    """The providers that a runtime may be asked for: cpu, cuda, and others of the builds here."""
    known = [name for kind in RUNTIMES.values() for name in kind.providers()]
    return tuple(dict.fromkeys(known))


def require(providers: tuple[str, ...], runtimes: tuple[str, ...] = ()) -> None:
    """Make sure that every provider and runtime asked for by name can be used.

    Raises:
        UsageError: a name is unknown, or a runtime supports none of the providers.
        UnavailableError: one is not installed, not on this machine, or not in this build.
    """
    for name in runtimes:
        if name not in RUNTIMES:
            raise unknown("runtime", name, RUNTIMES)
    for provider in providers:
        if provider not in known_providers():
            raise unknown("provider", provider, known_providers())
    for name in runtimes:
        known = tuple(RUNTIMES[name].providers())
        if providers and not set(providers) & set(known):
            raise UsageError(f"runtime '{name}' runs on {', '.join(known)} and nowhere else")
        if reason := _why_absent(RUNTIMES[name], known[0]):
            raise UnavailableError(f"runtime '{name}' is not there: {reason}")
    for provider in providers:
        for name in reversed(runtimes or ALL):  # ONNX Runtime, whose reason says what to install
            kind = RUNTIMES[name]
            if kind.optional or provider not in kind.providers():
                continue
            if reason := _why_absent(kind, provider):
                raise UnavailableError(f"provider '{provider}' is not there: {reason}")


def _why_absent(kind: Kind, provider: str) -> str | None:
    if kind.optional and find_spec(kind.package) is None and _packages(kind) is None:
        if kind.converter is not None and kind.converter.runs:
            return f"it is not installed; 'pipeline export NAME --format {kind.name}' installs it"
        return f"it is not installed; run {how_to_install(kind.requirement)}"
    reason = kind.why_absent(provider)
    if reason is None and provider == "cuda":
        import torch

        if not torch.cuda.is_available():
            version = torch.__version__
            return f"torch {version} finds no CUDA device; check the driver with nvidia-smi"
    return reason


def _packages(kind: Kind) -> Path | None:
    """The folder in which a converter has installed its runtime; None where that is elsewhere."""
    converter = kind.converter
    return converter.folder if converter and converter.runs and converter.folder.is_dir() else None


def optional_versions(runtimes: Iterable[str]) -> dict[str, str]:
    """The versions of the optional runtimes among ``runtimes`` that are installed."""
    kinds = [RUNTIMES[name] for name in runtimes if RUNTIMES[name].optional]
    return {kind.package: _version(kind) for kind in kinds if _why_absent(kind, "cpu") is None}


def _version(kind: Kind) -> str:
    if kind.converter is not None and _packages(kind) is not None:
        return kind.converter.version
    return package_version(kind.package)


@dataclass
class Runtimes:
    """The chosen runtimes, each in a process of its own, for one bundle after another.

    ``time_limit`` is in seconds, for one call. ``trust`` says which TorchScript may run. Call
    :meth:`close` at the end, or use it in ``with``.
    """

    names: tuple[str, ...] = ALL
    providers: tuple[str, ...] = PROVIDERS
    time_limit: float = TIME_LIMIT
    trust: Trust = field(default_factory=Trust)
    _workers: dict[tuple[str, str], Worker] = field(default_factory=dict)

    def open(self, bundle: Bundle) -> Iterator[Runtime | Absent]:
        """Each runtime on each provider, or why it is absent or did not open.

        Each runtime can be used until the next one is taken from the iterator.

        Raises:
            IntegrityError: a model file was changed.
        """
        for name in self.names:
            known = set(RUNTIMES[name].providers())
            for provider in self.providers:
                if provider in known:
                    yield from self._open_on(bundle, name, provider, RUNTIMES[name].file)

    def open_loop(self, bundle: Bundle, file: str) -> Iterator[Runtime | Absent]:
        """Each installed runtime, opened on the graph with the loop.

        The graph is ``file``, or part of the model's own file. Runtimes that compute in less than
        float32 are left out, because their rounding errors accumulate in the loop; so are those
        whose file is code that is not trusted, those whose file is built, and those of step graphs.

        Raises:
            IntegrityError: a model file was changed.
        """
        for name in self.names:
            kind = RUNTIMES[name]
            if kind.built is not None or kind.converter is not None:
                continue
            for provider in self.providers:
                if provider in set(kind.providers()) and _why_absent(kind, provider) is None:
                    opened = self._open_on(
                        bundle, name, provider, kind.file if kind.has_loops else file
                    )
                    for runtime in opened:
                        if isinstance(runtime, Unsafe):
                            continue
                        if isinstance(runtime, Absent) or runtime.precision == "float32":
                            yield runtime

    def _open_on(
        self, bundle: Bundle, name: str, provider: str, file: str
    ) -> Iterator[Runtime | Absent]:
        kind = RUNTIMES[name]
        where = (kind.format, name, provider)
        if reason := _why_absent(kind, provider):
            yield Absent(*where, reason)
            return
        entry = bundle.manifest.files.get(file)
        if kind.converter is not None and entry is None:
            yield Absent(*where, _how_to_convert(bundle, kind))
            return
        verdict = self.trust.judge(bundle) if kind.runs_code else Verdict()
        if verdict.refusal:
            yield Unsafe(*where, verdict.refusal)
            return
        worker = self._workers.setdefault(
            (name, provider), Worker(self.time_limit, _packages(kind))
        )
        try:
            data = bundle.read(file) if kind.built is None else kind.built(bundle)
        except (UnavailableError, UsageError) as error:
            yield Absent(*where, str(error))
            return
        for opener in kind.openers(data, provider):
            if entry is not None and entry.sizes is not None:
                opener = partial(Stepwise.opened, opener, bundle.manifest.contract, entry.sizes)
            opened: Runtime | Absent
            try:
                opened = worker.open(opener, weights_in(data))
                opened.note = "; ".join(filter(None, (opened.note, verdict.note)))
                if provider not in PROVIDERS:
                    _must_stay_there(opened)
            except (UnavailableError, ImportError) as error:
                opened = Absent(*where, str(error))
            except RuntimeProcessError as error:
                opened = Refused(*where, str(error))
            yield opened

    def close(self) -> None:
        """End the processes of all runtimes."""
        for worker in self._workers.values():
            worker.close()

    def __enter__(self) -> "Runtimes":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _how_to_convert(bundle: Bundle, kind: Kind) -> str:
    """Why ``bundle`` lacks the file of ``kind``, which is converted where it is asked for."""
    manifest = bundle.manifest
    if manifest.variant is not None:
        return f"a variant has no {kind.file}"
    return (
        f"the bundle has no {kind.file}; run 'pipeline export {manifest.name} --format {kind.name}'"
    )


def _must_stay_there(runtime: Runtime) -> None:
    """Raise UnavailableError if recurrent nodes ran on another provider than the one asked for."""
    elsewhere = [node for node, at in runtime.placement().items() if at != runtime.home]
    if elsewhere:
        raise UnavailableError(
            f"{runtime.home} runs no recurrent nodes: {', '.join(elsewhere)} fell back to the CPU"
        )
