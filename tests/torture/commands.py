"""Commands on a model, each made from its contract; none where the contract has no use for it."""

from collections.abc import Callable

from pipeline.contract import Bundle
from pipeline.embed.targets import TARGETS
from torture.originals import export_command, resume_command, takes, train_command

Command = tuple[str, ...]
Asked = Command | Callable[[Bundle], Command | None]  # the same for all, or made from the contract

_RUNS = {
    "series": ("--history=history.csv", "--steps=3"),
    "text": ("--prompt=the", "--length=3"),
}


def commands_for(bundle: Bundle, *asked: Asked) -> tuple[Command, ...]:
    """Those of the commands that are for a model like the one in ``bundle``."""
    made = (one(bundle) if callable(one) else one for one in asked)
    return tuple(command for command in made if command is not None)


def of_task(task: str, model: str) -> Command:
    """The command that runs a model of a task."""
    return ("run", model, *_RUNS[task], "--seed=1")


def _run(bundle: Bundle) -> Command | None:
    task = bundle.manifest.task
    return of_task(task, bundle.manifest.name) if task else None


def _plot(bundle: Bundle) -> Command | None:
    return None if bundle.manifest.training is None else ("inspect", "--plot=picture.svg")


def _benchmark(bundle: Bundle) -> Command | None:
    manifest = bundle.manifest
    return None if manifest.loop is None else ("benchmark", "loops", manifest.name)


def embed(target: str) -> Asked:
    """The command that embeds a model in ``target``."""

    def asked(bundle: Bundle) -> Command | None:
        command = ("embed", bundle.manifest.name, target, f"--out=new/{target}")
        return command if takes(bundle.folder, target) else None

    return asked


def _compiled(bundle: Bundle) -> Command | None:
    return ("validate", "--runtime=c") if takes(bundle.folder, "c") else None


def _trusted(bundle: Bundle) -> Command | None:
    """A module's TorchScript is what its files are compared with, where it may run."""
    return None if bundle.manifest.module is None else (*VALIDATE, "--trust", "--force")


def pair(first: str, second: str) -> Asked:
    """The command that compares two files of a bundle, given as those of a stranger.

    ``first`` and ``second`` are ``onnx`` or ``torchscript``, or such an option with a file.
    """
    own = {"onnx": "--onnx={}/onnx/model.onnx", "torchscript": "--torchscript={}/model.pt"}

    def asked(bundle: Bundle) -> Command:
        folder = f"exported/{bundle.manifest.name}"
        return ("validate", *(own.get(one, one).format(folder) for one in (first, second)))

    return asked


INSPECT: Command = ("inspect",)
VALIDATE: Command = ("validate", "--runtime=onnxruntime")
TORCHSCRIPT: Command = ("validate", "--runtime=torchscript", "--time-limit=10")
PLOT: Asked = _plot
RUN: Asked = _run
BENCHMARK: Asked = _benchmark
COMPILED: Asked = _compiled
TRUSTED: Asked = _trusted
TRAIN: Asked = lambda bundle: train_command(bundle.manifest.name)  # noqa: E731
RESUME: Asked = lambda bundle: resume_command(bundle.manifest.name)  # noqa: E731
EXPORT: Asked = lambda bundle: export_command(bundle.manifest.name)  # noqa: E731
READS_BUNDLES: tuple[Asked, ...] = (
    INSPECT,
    PLOT,
    ("inspect", "--json"),
    RUN,
    *map(embed, TARGETS),
    VALIDATE,
)
