"""Checks of the program that replays golden trajectories, of every embedded project."""

import json
import math
import os
from pathlib import Path
from typing import Any

import pytest
from embedded import (
    Programs,
    copy_of,
    edit,
    line_of,
    manifest_of,
    refuses_changed_files,
    replace,
    run,
)

from pipeline.contract.law import FLOAT32
from pipeline.storage import canonical_json


def replay_passes(programs: Programs, folder: Path, scratch: Path) -> None:
    answer = run(programs.replay, "--model", folder)
    assert (answer.code, answer.err) == (0, "")
    line, manifest = line_of(answer), manifest_of(folder)
    golden = json.loads((folder / "golden.json").read_bytes())
    assert (line["target"], line["model"]) == (programs.target, manifest["name"])
    known = golden["trajectories"][: -1 if leaves_out(programs, folder) else None]
    assert line["calls"] == sum(len(one["calls"]) for one in known)
    assert line["passed"]
    assert 0 <= line["share"] < 0.5
    assert 0 <= line["outputs"] < 1e-2  # input that training did not know may be large
    assert 0 <= line["states"] < 1e-2
    if not manifest["states"]:
        assert line["states"] == 0


def leaves_out(programs: Programs, folder: Path) -> bool:
    """Whether the last trajectory, of inputs that training did not know, is not compared.

    Fixed point cannot hold numbers that lie so far out; unknown characters are no such numbers.
    """
    return programs.tolerance != FLOAT32 and manifest_of(folder)["task"] == "series"


def replay_finds_changed_numbers(programs: Programs, folder: Path, scratch: Path) -> None:
    """In the last call of the last trajectory, and 0.1 off; just that is reported."""
    last = -2 if leaves_out(programs, folder) else -1
    given, unit = programs.tolerance, programs.unit(folder)
    for name, kind in (("output", "outputs"), ("next_state", "states")):
        copy = copy_of(folder, scratch)
        if kind == "states" and not manifest_of(copy)["states"]:
            continue
        expected: list[float] = []

        def change(golden: dict[str, Any], name: str = name, kept: list[float] = expected) -> None:
            data = golden["trajectories"][last]["calls"][-1][name]["data"]
            data[-1] += 0.1
            kept.append(data[-1])

        edit(copy, "golden.json", change)
        answer = run(programs.replay, "--model", copy)
        line = line_of(answer)
        assert (answer.code, answer.err, line["passed"]) == (1, "", False)
        assert line[kind] == pytest.approx(0.1, rel=0.02)
        allowed = given.atol * (unit if kind == "outputs" else 1) + given.rtol * abs(expected[0])
        assert line["share"] == pytest.approx(0.1 / allowed, rel=0.02)


def replay_carries_its_own_state(programs: Programs, folder: Path, scratch: Path) -> None:
    """A trajectory that starts elsewhere is off from its first call on."""
    if not manifest_of(folder)["states"]:
        return
    copy = copy_of(folder, scratch)

    def change(golden: dict[str, Any]) -> None:
        data = golden["trajectories"][0]["states"]["state"]["data"]
        data[:] = [value + 0.5 for value in data]

    edit(copy, "golden.json", change)
    assert run(programs.replay, "--model", copy).code == 1


def replay_finds_what_is_not_finite(programs: Programs, folder: Path, scratch: Path) -> None:
    """A number of the golden calls beyond float32 is infinitely far; JSON has null for that."""
    copy = copy_of(folder, scratch)

    def change(golden: dict[str, Any]) -> None:
        golden["trajectories"][0]["calls"][0]["output"]["data"][0] = 1e300

    edit(copy, "golden.json", change)
    answer = run(programs.replay, "--model", copy)
    assert answer.code == 1
    line = line_of(answer)
    assert (line["outputs"], line["share"], line["passed"]) == (None, None, False)
    assert line["states"] is not None


def replay_refuses_wrong_shapes(programs: Programs, folder: Path, scratch: Path) -> None:
    """Golden tensors whose data do not fill their shape, or whose shape is not the model's."""

    def too_few(tensor: dict[str, Any]) -> None:
        tensor["data"].pop()

    def too_many(tensor: dict[str, Any]) -> None:
        tensor["data"].append(0)

    def one_axis_more(tensor: dict[str, Any]) -> None:
        tensor["shape"].append(1)

    def wider(tensor: dict[str, Any]) -> None:
        tensor["shape"][-1] += 1
        tensor["data"] = [0] * math.prod(tensor["shape"])

    def negative(tensor: dict[str, Any]) -> None:
        tensor["shape"][:2] = [-size for size in tensor["shape"][:2]]

    def empty(tensor: dict[str, Any]) -> None:
        tensor["shape"][0], tensor["data"] = 0, []

    def text_for_numbers(tensor: dict[str, Any]) -> None:
        tensor["data"][0] = "one"

    names = ["input", "output"] + ["next_state"] * len(manifest_of(folder)["states"])
    changes = [too_few, too_many, one_axis_more, negative, empty, text_for_numbers]
    cases = [(name, change) for name in names for change in changes]
    cases += [("output", wider)]
    for name, change in cases:
        copy = copy_of(folder, scratch)
        edit(
            copy,
            "golden.json",
            lambda golden, name=name, change=change: change(  # type: ignore[misc]
                golden["trajectories"][0]["calls"][0][name]
            ),
        )
        answer = run(programs.replay, "--model", copy)
        assert (name, change.__name__, answer.code, answer.out) == (name, change.__name__, 3, "")
        answer.refused(3, "golden")


def replay_refuses_what_is_no_golden_file(programs: Programs, folder: Path, scratch: Path) -> None:
    def nothing_to_compare(golden: dict[str, Any]) -> None:
        golden["trajectories"] = []

    def without_tolerance(golden: dict[str, Any]) -> None:
        del golden["tolerance"]

    def calls_of_another_type(golden: dict[str, Any]) -> None:
        golden["trajectories"][0]["calls"] = 3

    for change in (nothing_to_compare, without_tolerance, calls_of_another_type):
        copy = copy_of(folder, scratch)
        edit(copy, "golden.json", change)
        run(programs.replay, "--model", copy).refused(3, "golden")
    for data in (b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 100_000):
        copy = copy_of(folder, scratch)
        replace(copy, "golden.json", data)
        run(programs.replay, "--model", copy).refused(3, "golden")


def refuses_newer_formats(programs: Programs, folder: Path, scratch: Path) -> None:
    for name in ("manifest.json", "golden.json"):
        copy = copy_of(folder, scratch)
        edit(copy, name, lambda content: content.update(format=3))
        answer = run(programs.replay, "--model", copy)
        answer.refused(3, name, "format 3", "reads 2", "update")


def refuses_what_is_no_manifest(programs: Programs, folder: Path, scratch: Path) -> None:
    for data in (
        b"",
        b"{",
        b"[]",
        b"{}",
        b'{"format": 1}',
        b'{"format": 2}',
        b"\xff",
        b"[" * 100_000,
        b"\x1b[2J",
    ):
        copy = copy_of(folder, scratch)
        (copy / "manifest.json").write_bytes(data)
        run(programs.replay, "--model", copy).refused(3, "manifest")
    for name in ("files", "inputs", "outputs") if programs.takes_models else ("files",):
        for value in (None, 5, [5]):
            copy = copy_of(folder, scratch)
            edit(copy, "manifest.json", lambda content, n=name, v=value: content.update({n: v}))  # type: ignore[misc]
            run(programs.replay, "--model", copy).refused(3, "manifest")


def sees_every_flipped_bit_of_the_manifest(programs: Programs, folder: Path, scratch: Path) -> None:
    """In and about the seal, and all over the rest."""
    copy = copy_of(folder, scratch)
    data = (folder / "manifest.json").read_bytes()
    places = [*range(0, 84, 6), *range(84, len(data), len(data) // 12)]
    for count, place in enumerate(places):
        changed = bytearray(data)
        changed[place] ^= 1 << count % 8
        (copy / "manifest.json").write_bytes(changed)
        answer = run(programs.replay, "--model", copy)
        assert answer.code in (3, 5), (place, answer)
        answer.refused(answer.code, "manifest.json")


def refuses_a_manifest_of_no_model(programs: Programs, folder: Path, scratch: Path) -> None:
    """Sizes that no memory could hold, and what is no size, type or name."""
    if not programs.takes_models:
        return
    for change in (
        lambda manifest: manifest["inputs"][1].update(shape=["batch", 10**6, 10**6]),
        lambda manifest: manifest["inputs"][1].update(shape=["batch", -5, 4]),
        lambda manifest: manifest["inputs"][1].update(shape=["batch", 10**30, 4]),
        lambda manifest: manifest["outputs"][0].update(shape=["batch", "time", 0.5]),
        lambda manifest: manifest["inputs"][0].update(type="complex64"),
        lambda manifest: manifest["inputs"][0].pop("shape"),
        lambda manifest: manifest["inputs"].pop(0),
        lambda manifest: manifest["outputs"].pop(1),
        lambda manifest: manifest["inputs"][1].update(type="float64"),
        lambda manifest: manifest["states"][0].update(input="output"),
        lambda manifest: manifest["states"][0].update(initial="model.pt"),
        lambda manifest: manifest.update(states=None),
    ):
        copy = copy_of(folder, scratch)
        edit(copy, "manifest.json", change)
        run(programs.replay, "--model", copy).refused(3, "manifest")


def reads_manifests_of_earlier_versions(programs: Programs, folder: Path, scratch: Path) -> None:
    """They have no seal."""
    copy = copy_of(folder, scratch)
    content = manifest_of(copy)
    del content["sha256"]
    (copy / "manifest.json").write_bytes(canonical_json(content))
    assert run(programs.replay, "--model", copy).code == 0


def replay_refuses_a_tolerance_that_proves_nothing(
    programs: Programs, folder: Path, scratch: Path
) -> None:
    for name, value in (("rtol", 1e9), ("atol", 1e-4), ("atol", -1.0)):
        copy = copy_of(folder, scratch)

        def change(golden: dict[str, Any], name: str = name, value: float = value) -> None:
            golden["tolerance"][name] = value

        edit(copy, "golden.json", change)
        run(programs.replay, "--model", copy).refused(3, "golden", "proves nothing")


def waits_for_no_pipe(programs: Programs, folder: Path, scratch: Path) -> None:
    for name in ("manifest.json", "golden.json"):
        copy = copy_of(folder, scratch)
        (copy / name).unlink()
        os.mkfifo(copy / name)
        run(programs.replay, "--model", copy).refused(3, name)


def replay_refuses_changed_files(programs: Programs, folder: Path, scratch: Path) -> None:
    refuses_changed_files(programs, "replay", folder, scratch)


def replay_refuses_missing_folders(programs: Programs, folder: Path, scratch: Path) -> None:
    run(programs.replay, "--model", scratch / "nowhere").refused(3, "manifest.json", "nowhere")


def replay_refuses_wrong_usage(programs: Programs, folder: Path, scratch: Path) -> None:
    for options in (["--modle", folder], ["--model"], ["more"], ["--length", "3"]):
        answer = run(programs.replay, *options)
        answer.refused(2)
        assert answer.out == ""
