"""The presets of every cell, how options override them, and the grid that several values span."""

from collections.abc import Callable, Sequence
from itertools import product
from typing import Any

from pydantic import TypeAdapter, ValidationError

from pipeline.cells import CELLS, ENTRIES, Cell
from pipeline.config.records import (
    Config,
    SeriesModel,
    SeriesSource,
    SineSource,
    Source,
    TextModel,
    TextSource,
    TrainingConfig,
)
from pipeline.errors import UsageError, unknown

_SOURCE: TypeAdapter[SineSource | SeriesSource | TextSource] = TypeAdapter(Source)


def _sine(cell: Cell, hidden_size: int, learning_rate: float, epochs: int) -> Config:
    return Config(
        name=f"sine-{cell}",
        source=SineSource(),
        model=SeriesModel(cell=cell, hidden_size=hidden_size),
        training=TrainingConfig(
            epochs=epochs, learning_rate=learning_rate, batch_size=16, window=64, weight_decay=0.0
        ),
    )


def _char(
    cell: Cell,
    learning_rate: float,
    epochs: int,
    label_smoothing: float,
    state_penalty: float = 0.0,
) -> Config:
    return Config(
        name=f"char-{cell}",
        source=TextSource(),
        model=TextModel(cell=cell, hidden_size=128),
        # Decay, smoothing and penalty keep logits and cells small, and float32 errors with them.
        training=TrainingConfig(
            epochs=epochs,
            learning_rate=learning_rate,
            batch_size=16,
            window=64,
            weight_decay=0.1,
            state_penalty=state_penalty,
            label_smoothing=label_smoothing,
        ),
    )


_FAMILIES: dict[str, Callable[..., Config]] = {"sine": _sine, "char": _char}
FAMILIES = tuple(_FAMILIES)  # what --task takes: the first half of a preset's name

PRESETS: dict[str, Config] = {
    f"{family}-{cell}": make(cell, **ENTRIES[cell].presets[family])
    for family, make in _FAMILIES.items()
    for cell in CELLS
}


def preset_order(name: str) -> tuple[int, str]:
    """Sorting key: presets as they stand above, then all other names."""
    places = list(PRESETS)
    return (places.index(name) if name in PRESETS else len(places), name)


# What --bidirectional stands for, unless more is said.
WHOLE_SEQUENCES = {"bidirectional": True, "readout": "final", "state_penalty": 0.0}


def select(names: tuple[str, ...], family: str | None, cell: str | None) -> list[Config]:
    """The presets that are meant: those named, or all of the family and of the cell.

    Raises:
        UsageError: a name, family or cell does not exist, or they contradict each other.
    """
    if family is not None and family not in FAMILIES:
        raise unknown("task", family, FAMILIES)
    if cell is not None and cell not in CELLS:
        raise unknown("cell", cell, CELLS)
    for name in names:
        if name not in PRESETS:
            raise unknown("preset", name, PRESETS)
    chosen = []
    for name in names or tuple(PRESETS):
        name_family, name_cell = name.split("-")
        if family in (None, name_family) and cell in (None, name_cell):
            chosen.append(PRESETS[name])
        elif names:
            right = f"{family or name_family}-{cell or name_cell}"
            raise UsageError(
                f"preset '{name}' contradicts --task or --cell; name '{right}' instead"
            )
    return chosen


def override(config: Config, options: dict[str, Any]) -> Config:
    """``config`` with every given option put where it belongs.

    ``options`` maps a field of the source, the model or the training, or ``name`` or a whole
    ``source``, to its new value.

    Raises:
        UsageError: the option means nothing for this task, or its value cannot be.
    """
    tree = config.model_dump()
    try:
        if "source" in options:
            tree["source"] = _SOURCE.validate_python(options["source"]).model_dump()
        for key, value in options.items():
            if key == "source":
                continue
            places = [tree, tree["source"], tree["model"], tree["training"]]
            place = next((place for place in places if key in place), None)
            if place is None:
                flag = "--" + key.replace("_", "-")
                raise UsageError(f"{flag} means nothing for '{config.name}'; leave it out")
            place[key] = value
        return Config.model_validate(tree)
    except ValidationError as error:
        raise UsageError(_one_line(error)) from error


def grid(
    presets: Sequence[Config],
    options: dict[str, Any],
    hidden_sizes: Sequence[int] = (),
    num_layers: Sequence[int] = (),
) -> list[Config]:
    """``presets`` with ``options``, in every size asked for; an empty sequence asks for none.

    Where there are several sizes they are part of the names, as in ``sine-lstm-100x2``; then, and
    where ``presets`` are several, the ``name`` among the options takes the place of ``sine``.

    Raises:
        UsageError: an option or a size cannot be, or two members have the same name.
    """
    sized = len(hidden_sizes) > 1 or len(num_layers) > 1
    rest = {key: value for key, value in options.items() if key != "name"}
    members: dict[str, Config] = {}
    for preset in presets:
        stem = preset.name
        if "name" in options:
            several = sized or len(presets) > 1
            stem = f"{options['name']}-{preset.model.cell}" if several else options["name"]
        for size, layers in product(hidden_sizes or (None,), num_layers or (None,)):
            sizes = {"hidden_size": size, "num_layers": layers}
            given = {key: value for key, value in sizes.items() if value is not None}
            config = override(preset, rest | given)
            shape = f"-{config.model.hidden_size}x{config.model.num_layers}" if sized else ""
            config = override(config, {"name": stem + shape})
            if members.setdefault(config.name, config) != config:
                raise UsageError("--name fits one task; name a preset, or give --task")
    return list(members.values())


def with_columns(config: Config, columns: tuple[str, ...], targets: int) -> Config:
    """``config`` for a file in which ``columns`` were found, the first ``targets`` of them
    to be forecast."""
    assert isinstance(config.source, SeriesSource)
    size = {"features": len(columns), "targets": targets}
    return config.model_copy(
        update={
            "source": config.source.model_copy(update={"columns": columns}),
            "model": config.model.model_copy(update=size),
        }
    )


def _one_line(error: ValidationError) -> str:
    """The first complaint, in the words of the command line."""
    first = error.errors()[0]
    message = first["msg"].removeprefix("Value error, ")
    places = [part for part in first["loc"] if isinstance(part, str)]
    if first["type"] == "value_error":
        return message
    flag = places[-1].replace("_", "-")
    return f"--{flag} {first['input']!r}: {message[0].lower()}{message[1:]}"
