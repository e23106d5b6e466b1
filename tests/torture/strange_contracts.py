"""Lies about the tensors of a contract: what is well formed, and not what the files do."""

from collections.abc import Callable, Iterator
from typing import Any

from pipeline.contract import Bundle
from pipeline.contract.files import INITIAL_FILE
from torture.cases import Hostile, bundle_commands, rewriting
from torture.commands import TORCHSCRIPT, TRUSTED, Command, of_task
from torture.originals import MODELS, Originals

Change = Callable[[Any], Any]
_OTHER_TYPES = ("float64", "float16", "int64", "int8", "bool", "uint64")
_OTHER_SAMPLES: dict[str, Any] = {
    "huge numbers": {"kind": "normal", "mean": 1e300, "deviation": 1e300},
    "integers without an end": {
        "kind": "integers",
        "least": -(2**63),
        "most": 2**63 - 1,
        "descending": False,
    },
    "integers from more to less": {
        "kind": "integers",
        "least": 9,
        "most": 1,
        "descending": False,
    },
    "no integers": {"kind": "integers", "least": 0, "most": 10**30, "descending": False},
    "lengths of no axis": {"kind": "integers", "least": 0, "most": "x", "descending": True},
    "data that are not there": {"kind": "held out"},
    "nothing": None,
}


def _set(*place: str | int, to: Any) -> Change:
    def change(manifest: Any) -> None:
        for key in place[:-1]:
            manifest = manifest[key]
        manifest[place[-1]] = to

    return change


def _swapped(*place: str | int, keys: tuple[Any, Any]) -> Change:
    """Two values below ``place``, each in place of the other."""

    def change(manifest: Any) -> None:
        for key in place:
            manifest = manifest[key]
        first, second = keys
        manifest[first], manifest[second] = manifest[second], manifest[first]

    return change


def _without(*place: str | int) -> Change:
    def change(manifest: Any) -> None:
        for key in place[:-1]:
            manifest = manifest[key]
        del manifest[place[-1]]

    return change


def _updated(facts: dict[str, Any], files: dict[str, Any]) -> Change:
    def change(manifest: Any) -> None:
        manifest |= facts
        manifest["files"] |= files

    return change


def _renamed(old: str, new: str) -> Change:
    """Another name of a tensor, wherever the manifest has it."""

    def change(manifest: Any) -> None:
        for spec in (*manifest["inputs"], *manifest["outputs"]):
            spec["name"] = new if spec["name"] == old else spec["name"]
        for pair in manifest["states"]:
            pair.update({side: new for side in ("input", "output") if pair[side] == old})

    return change


def _of_tensors(bundle: Bundle) -> Iterator[tuple[str, Change]]:
    manifest = bundle.manifest
    for side, specs in (("inputs", manifest.inputs), ("outputs", manifest.outputs)):
        for number, spec in enumerate(specs):
            place = (side, number)
            for kind in _OTHER_TYPES:
                if kind != spec.type:
                    yield f"{spec.name} is {kind}", _set(*place, "type", to=kind)
            shape = list(spec.shape)
            for what, other in {
                "an axis more": [*shape, 2],
                "an axis less": shape[:-1],
                "its axes the other way round": shape[::-1],
                "an axis twice": [*shape, shape[0]],
                "axes of fixed sizes": [3 if isinstance(axis, str) else axis for axis in shape],
                "a large axis": [*shape[:-1], 2**20],
                "no axes": [],
            }.items():
                if other != shape:
                    yield f"{spec.name} has {what}", _set(*place, "shape", to=other)
            yield f"{spec.name} is called otherwise", _renamed(spec.name, "other")
        if len(specs) > 1:
            yield f"{side} in another order", _swapped(side, keys=(0, len(specs) - 1))
    carried = {pair.input for pair in manifest.states}
    for number, spec in enumerate(manifest.inputs):
        if spec.name not in carried:
            for what, sample in _OTHER_SAMPLES.items():
                yield f"{spec.name} is drawn as {what}", _set("inputs", number, "sample", to=sample)


def _of_axes(bundle: Bundle) -> Iterator[tuple[str, Change]]:
    manifest = bundle.manifest
    for name, axis in manifest.axes.items():
        for role in ("batch", "time", "size"):
            if role != axis.role:
                yield f"{name} is {role}", _set("axes", name, "role", to=role)
        for key, value in (
            *(("smallest", 7), ("smallest", 10**9), ("multiple", 3), ("multiple", 10**9)),
            *(("largest", 1), ("largest", 10**12)),
        ):
            yield f"{name} has {key} {value}", _set("axes", name, key, to=value)
        yield f"no {name}", _without("axes", name)
    if len(manifest.axes) > 1:
        first, *_, last = manifest.axes
        yield f"{first} and {last} swapped", _swapped("axes", keys=(first, last))
    yield "an axis of nothing", _set("axes", "more", to={"role": "size"})


def _of_states(bundle: Bundle) -> Iterator[tuple[str, Change]]:
    states = bundle.manifest.states
    for number, pair in enumerate(states):
        yield f"{pair.input} is no state", _without("states", number)
        for initial in (3.5, -1.0, 1e300, "golden.json", "../x", INITIAL_FILE, 0.0):
            if initial != pair.initial:
                yield (
                    f"{pair.input} begins with {initial}",
                    _set("states", number, "initial", to=initial),
                )
        rows = ["a"] * 9
        yield f"{pair.input} has rows", _set("states", number, "rows", to=rows)
        yield f"{pair.input} has columns", _set("states", number, "h_columns", to=10**9)
    if len(states) > 1:
        yield "states in another order", _swapped("states", keys=(0, len(states) - 1))
        yield "states with others' starts", _starts_swapped
    yield "a state twice", lambda m: m["states"].append(m["states"][0])


def _starts_swapped(manifest: Any) -> None:
    first, last = manifest["states"][0], manifest["states"][-1]
    first["initial"], last["initial"] = last["initial"], first["initial"]


def _of_facts(bundle: Bundle) -> Iterator[tuple[str, Change]]:
    """Tolerance, the digest of the reference, and what only other models have."""
    yield "a tolerance for a precision that is none", _set("tolerance", "float8", to={})
    yield "no tolerance", _set("tolerance", to={})
    yield "the reference is another file", _swapped("files", keys=("model.pt", "onnx/model.onnx"))
    yield "an opset of the future", _set("opset", to=99)
    yield "no parameters", _set("parameters", to=0)
    module = bundle.manifest.module
    if module is not None:
        yield "in float64 otherwise", _set("module", "float64", to=not module.float64)
        yield "a module of more states", _set("module", "states", to=["a"] * 99)
        yield "no module", _set("module", to=None)


def _of_facets(originals: Originals, bundle: Bundle) -> Iterator[tuple[str, Change]]:
    """The facets of other models, one at a time and all that a task needs."""
    for model in MODELS:
        other = originals.bundle(model).manifest
        if other.task is None or other.task == bundle.manifest.task:
            continue
        facets = {
            key: value
            for key, value in other.model_dump(mode="json").items()
            if key in ("task", "loop", "window", "spread", "scaler", "vocabulary", "training")
        }
        for key, value in facets.items():
            if value is not None:
                yield f"{key} of {model}", _set(key, to=value)
        yield f"task of {model}, with all that it needs", _updated(facets, {})
        files = {name: entry.model_dump() for name, entry in other.files.items()}
        loop = {other.loop.file: files[other.loop.file]} if other.loop else {}
        yield f"loop of {model}, and its file", _updated(facets, loop)


def strange_contracts(originals: Originals) -> Iterator[Hostile]:
    """Every tensor, axis, state and fact of every contract in a lie of its own."""
    for model in MODELS:
        bundle = originals.bundle(model)
        runs = tuple(of_task(task, model) for task in ("series", "text"))
        claims: tuple[Command, ...] = (
            ("inspect", "--plot=picture.svg"),
            ("benchmark", "loops", model),
        )
        commands = bundle_commands(bundle, TRUSTED, TORCHSCRIPT)
        for what, change in (
            *_of_tensors(bundle),
            *_of_axes(bundle),
            *(_of_states(bundle) if bundle.manifest.states else ()),
            *_of_facts(bundle),
        ):
            yield Hostile(f"{model}: {what}", model, rewriting(change), commands)
        more = tuple(dict.fromkeys((*commands, *runs, *claims)))
        for what, change in _of_facets(originals, bundle):
            yield Hostile(f"{model}: {what}", model, rewriting(change), more)
