"""What was understood of weights of others, line by line, and from what."""

from collections.abc import Iterator

from pipeline.cells import ENTRIES
from pipeline.config import Record, TextModel
from pipeline.importer import Imported


class Finding(Record):
    """One thing that was understood, or assumed."""

    what: str
    value: str
    because: str


def findings(imported: Imported) -> list[Finding]:
    """All that was understood of the file, in the order in which numbers go through it."""
    return [
        Finding(what=what, value=value, because=because)
        for what, value, because in (
            *_of_file(imported),
            *_of_task(imported),
            *_of_layers(imported),
            *_of_head(imported),
        )
    ]


def _of_file(imported: Imported) -> Iterator[tuple[str, str, str]]:
    found = imported.state_dict
    where = [f"under '{found.key}'"] if found.key else []
    where += [f"without the prefix '{found.prefix}'"] if found.prefix else []
    used = [found.tensors[name] for name in imported.architecture.weights]
    types = sorted({str(tensor.dtype).removeprefix("torch.") for tensor in used})
    count = sum(tensor.numel() for tensor in used)
    yield "file", f"{imported.format}, {', '.join(types)}", ", ".join(where)
    yield "weights", f"{count:,} in {len(used)} tensors", _left_out(imported)


def _left_out(imported: Imported) -> str:
    names = (*imported.ignored, *imported.architecture.left_out)
    return f"left out: {', '.join(names)}" if names else "all are used"


def _of_task(imported: Imported) -> Iterator[tuple[str, str, str]]:
    network, architecture, settings = imported.network, imported.architecture, imported.settings
    if isinstance(network.config, TextModel):
        vocabulary = network.vocabulary or ""
        yield "task", "text", "--vocabulary"
        shown = vocabulary if len(vocabulary) <= 40 else vocabulary[:39] + "…"
        size = architecture.embedding_rows or architecture.stack.input_size
        how = "added, never written" if size == len(vocabulary) else "index 0 of the file"
        yield "vocabulary", f"{len(vocabulary)} characters, {shown!r}", f"unknown entry: {how}"
        if architecture.embedding is None:
            yield "input", f"one-hot, {architecture.stack.input_size}", "no embedding in the file"
        else:
            rows, width = architecture.embedding_rows, architecture.stack.input_size
            yield "embedding", f"{rows} × {width}", f"'{architecture.embedding}'"
        return
    yield "task", "series", "--task" if settings.task else "no embedding, no --vocabulary"
    scaler = network.scaler
    assert scaler is not None
    for what, means, deviations, flag in (
        ("input scaler", scaler.input_mean, scaler.input_std, "--scaler"),
        ("output scaler", scaler.output_mean, scaler.output_std, "--output-scaler"),
    ):
        distinct = dict.fromkeys(zip(means, deviations, strict=True))
        value = "; ".join(f"mean {mean:g}, deviation {std:g}" for mean, std in distinct)
        given = settings.scaler or settings.output_scaler
        yield what, value if given else "none", "" if given else f"assumed; else {flag} MEAN,STD"


def _of_layers(imported: Imported) -> Iterator[tuple[str, str, str]]:
    stack, settings = imported.architecture.stack, imported.settings
    first = next(iter(stack.weights()))
    rows = imported.state_dict.tensors[first].shape[0]
    name = f"'{stack.name}'" if stack.name else "at the top of the file"
    because = f"{first} has {rows} rows, {rows // stack.hidden_size} × {stack.hidden_size}"
    yield "cell", stack.cell.upper(), because
    if ENTRIES[stack.cell].has_nonlinearity:
        because = "--nonlinearity" if settings.nonlinearity else "assumed; else --nonlinearity relu"
        yield "nonlinearity", settings.nonlinearity or "tanh", because
    yield "layers", f"{stack.num_layers} × {stack.hidden_size} units", name
    yield "input size", str(stack.input_size), f"{first} has {stack.input_size} columns"
    directions = "2" if stack.bidirectional else "1"
    yield "directions", directions, "weights end in _reverse" if stack.bidirectional else ""
    yield "biases", "yes" if stack.bias else "none", ""
    if stack.proj_size:
        yield "projection", str(stack.proj_size), "weights called weight_hr"


def _of_head(imported: Imported) -> Iterator[tuple[str, str, str]]:
    architecture, readout = imported.architecture, imported.network.config.readout
    bias = "" if architecture.head_bias else ", no bias"
    columns, outputs = architecture.stack.columns, architecture.outputs
    yield "head", f"{columns} → {outputs}{bias}", f"'{architecture.head}'"
    if architecture.stack.bidirectional:
        yield "readout", readout, "--readout"
    else:
        yield "output", "for every step", "the last is out[:, -1] of the original"
