"""Small bundles of modules, made by hand: contracts that no built-in network has.

``module`` has two inputs of different types and two states of different shapes, one of which starts
from numbers of its own. ``stream`` has one input, whose steps come two at a time. ``cell`` has no
time axis; its types are rare, and one of its states is a scalar. ``sequence`` has no state.
"""

import copy
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor, nn

from pipeline.bundle import open_bundle
from pipeline.bundle.golden import backend_test_files, golden_json, golden_trajectories
from pipeline.bundle.module_reference import reference_of
from pipeline.bundle.write import file_entry
from pipeline.checkpoint import versions
from pipeline.contract import Bundle
from pipeline.contract.files import (
    CARD_FILE,
    GOLDEN_FILE,
    INITIAL_FILE,
    MANIFEST_FILE,
    ONNX_FILE,
    TORCHSCRIPT_FILE,
    WEIGHTS_FILE,
)
from pipeline.contract.law import TOLERANCES
from pipeline.contract.manifest import FORMAT, Manifest, ModuleRecord
from pipeline.contract.stored import stored
from pipeline.contract.tensors import (
    Axis,
    Contract,
    ElementType,
    Integers,
    Normal,
    StatePair,
    Tensors,
    TensorSpec,
)
from pipeline.export.quiet import quiet_exporter
from pipeline.seal import sealed
from pipeline.storage import canonical_json, write_folder
from pipeline.verify import Reference


class Two(nn.Module):
    """A GRU over numbers and embedded tokens, and a count of the tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(5, 2)
        self.gru = nn.GRU(5, 4, batch_first=True)
        self.head = nn.Linear(4, 2)

    def forward(self, x: Tensor, token: Tensor, h: Tensor, count: Tensor) -> tuple[Tensor, ...]:
        y, h = self.gru(torch.cat([x, self.embedding(token)], -1), h)
        total = count.unsqueeze(1) + token.cumsum(1)
        return self.head(y), total, h, count + token.sum(1)


class Stream(nn.Module):
    """A GRU, and whether its output is positive."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(3, 4, batch_first=True)

    def forward(self, x: Tensor, memory: Tensor) -> tuple[Tensor, ...]:
        y, memory = self.gru(x, memory)
        return y, y.sum(-1) > 0, memory


class Cell(nn.Module):
    """Sums of what was read, and how often."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(0.25))

    def forward(self, x: Tensor, total: Tensor, steps: Tensor) -> tuple[Tensor, ...]:
        total = total + x.to(torch.float64) * self.scale.to(torch.float64)
        return total.to(torch.float16), total.mean(1), total, steps + 1


class Whole(nn.Module):
    """A bidirectional layer over whole sequences."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(2, 3, batch_first=True, bidirectional=True)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.lstm(x)[0]
        return y


Shape = tuple[int | str, ...]
Form = tuple[ElementType, Shape]


@dataclass(frozen=True)
class Recipe:
    """A module, the types and shapes of its tensors in order, and its states with their starts."""

    module: type[nn.Module]
    inputs: dict[str, Form]
    outputs: dict[str, Form]
    states: dict[str, tuple[str, float | list[float]]]
    axes: dict[str, Axis]


NORMAL = Normal(mean=0, deviation=1)
BATCH, TIME = Axis(role="batch"), Axis(role="time")
RECIPES = {
    "module": Recipe(
        Two,
        {
            "x": ("float32", ("batch", "time", 3)),
            "token": ("int64", ("batch", "time")),
            "h.0": ("float32", (1, "batch", 4)),
            "count": ("int64", ("batch",)),
        },
        {
            "y": ("float32", ("batch", "time", 2)),
            "total": ("int64", ("batch", "time")),
            "h_next": ("float32", (1, "batch", 4)),
            "count_next": ("int64", ("batch",)),
        },
        {"h.0": ("h_next", [0.5, -0.25, 0.125, 1.0]), "count": ("count_next", 7)},
        {"batch": BATCH, "time": TIME},
    ),
    "stream": Recipe(
        Stream,
        {"x": ("float32", ("rows", "steps", 3)), "memory": ("float32", (1, "rows", 4))},
        {
            "y": ("float32", ("rows", "steps", 4)),
            "positive": ("bool", ("rows", "steps")),
            "memory_next": ("float32", (1, "rows", 4)),
        },
        {"memory": ("memory_next", 0.25)},
        {"rows": BATCH, "steps": Axis(role="time", smallest=2, multiple=2)},
    ),
    "cell": Recipe(
        Cell,
        {
            "x": ("int16", ("batch", 2)),
            "total": ("float64", ("batch", 2)),
            "steps": ("int32", ()),
        },
        {
            "half": ("float16", ("batch", 2)),
            "mean": ("float64", ("batch",)),
            "total_next": ("float64", ("batch", 2)),
            "steps_next": ("int32", ()),
        },
        {"total": ("total_next", 0.5), "steps": ("steps_next", 0)},
        {"batch": BATCH},
    ),
    "sequence": Recipe(
        Whole,
        {"x": ("float32", ("batch", "time", 2))},
        {"y": ("float32", ("batch", "time", 6))},
        {},
        {"batch": BATCH, "time": TIME},
    ),
}


def write_module_bundle(kind: str, folder: Path) -> Bundle:
    """Write the bundle of a kind of module to ``folder``; the kind is its name, too."""
    recipe, contract = RECIPES[kind], contract_of(RECIPES[kind])
    torch.manual_seed(1)
    module = recipe.module().eval()
    reference = module_reference(recipe, contract, module)
    given = reference.draw(2, 4, 0) | reference.initial(2)
    pairs, first = [], reference.initial(1)
    for name, (after, start) in recipe.states.items():
        constant = isinstance(start, (int, float))
        pairs.append(
            StatePair(input=name, output=after, initial=start if constant else INITIAL_FILE)
        )
    kept = {pair.input: stored(first[pair.input]) for pair in pairs if pair.initial == INITIAL_FILE}
    golden = golden_json(kind, contract, golden_trajectories(reference), {})
    files = {
        WEIGHTS_FILE: save(module.state_dict()),
        TORCHSCRIPT_FILE: torchscript_of(module, contract, given),
        ONNX_FILE: onnx_of(module, contract, recipe.axes, given),
        **backend_test_files(reference),
        GOLDEN_FILE: canonical_json(golden),
        **({INITIAL_FILE: canonical_json({"format": FORMAT, "states": kept})} if kept else {}),
        CARD_FILE: f"# {kind}\n".encode(),
    }
    manifest = Manifest(
        format=FORMAT,
        name=kind,
        inputs=contract.inputs,
        outputs=contract.outputs,
        states=tuple(pairs),
        axes=recipe.axes,
        tolerance=TOLERANCES,
        opset=18,
        parameters=sum(weight.numel() for weight in module.parameters()),
        module=ModuleRecord(
            class_name=type(module).__name__,
            float64=True,
            states=tuple(f"argument {pair.input}" for pair in pairs),
        ),
        versions=versions(),
        files={name: file_entry(data) for name, data in files.items()},
        **dict.fromkeys(ONLY_OF_NETWORKS),
    )
    write_folder(folder, {**files, MANIFEST_FILE: sealed(manifest)})
    return open_bundle(folder)


ONLY_OF_NETWORKS = (
    *("task", "loop", "window", "spread", "scaler", "vocabulary", "source", "training", "model"),
    "checkpoint_sha256",
)


def contract_of(recipe: Recipe) -> Contract:
    def spec(name: str, form: Form, given: bool = False) -> TensorSpec:
        kind, shape = form
        sample = (Integers(least=0, most=4) if "int" in kind else NORMAL) if given else None
        return TensorSpec(name=name, type=kind, shape=shape, meaning=f"the {name}", sample=sample)

    roles = {axis.role: name for name, axis in recipe.axes.items()}
    return Contract(
        tuple(spec(name, form, name not in recipe.states) for name, form in recipe.inputs.items()),
        tuple(spec(name, form) for name, form in recipe.outputs.items()),
        tuple((name, after) for name, (after, _) in recipe.states.items()),
        batch=roles["batch"],
        time=roles.get("time"),
    )


def module_reference(recipe: Recipe, contract: Contract, module: nn.Module) -> Reference:
    """The module and its float64 copy, with inputs at random."""
    starts = {name: np.asarray(start) for name, (_, start) in recipe.states.items()}

    def initial(batch: int) -> Tensors:
        found = {}
        for spec in contract.inputs:
            if spec.name in starts:
                shape = [batch if isinstance(axis, str) else axis for axis in spec.shape]
                found[spec.name] = np.broadcast_to(starts[spec.name], shape).astype(spec.type)
        return found

    twin = copy.deepcopy(module).double()
    return reference_of(contract, recipe.axes, module, twin, initial, {})


def _tensors(contract: Contract, given: Tensors) -> tuple[Tensor, ...]:
    return tuple(torch.from_numpy(np.array(given[spec.name])) for spec in contract.inputs)


def torchscript_of(module: nn.Module, contract: Contract, given: Tensors) -> bytes:
    file = io.BytesIO()
    with quiet_exporter():
        torch.jit.save(torch.jit.trace(module, _tensors(contract, given)), file)
    return file.getvalue()


def onnx_of(
    module: nn.Module, contract: Contract, axes: Mapping[str, Axis], given: Tensors
) -> bytes:
    specs = (*contract.inputs, *contract.outputs)
    dynamic = {
        spec.name: {place: str(axis) for place, axis in enumerate(spec.shape) if axis in axes}
        for spec in specs
    }
    with quiet_exporter(), TemporaryDirectory() as folder:
        file = Path(folder, "model.onnx")
        torch.onnx.export(
            module,
            _tensors(contract, given),
            file,
            input_names=[spec.name for spec in contract.inputs],
            output_names=[spec.name for spec in contract.outputs],
            dynamic_axes=dynamic,
            opset_version=18,
            dynamo=False,
        )
        return file.read_bytes()
