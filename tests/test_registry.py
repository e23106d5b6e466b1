"""The translations of operators that exports share: collected once, and changed by none of them."""

from typing import Any

import pytest
from tiny import new_trainer, series_config
from torch.onnx._internal.exporter._registration import ONNXRegistry

from pipeline.export.network.onnx_graph import to_onnx
from pipeline.export.quiet import quiet_exporter
from pipeline.export.registry import reused_registry

METHOD = "from_torchlib"


def collect() -> Any:
    """What ``torch.onnx.export`` does first."""
    with quiet_exporter():
        return getattr(ONNXRegistry, METHOD)(opset_version=18)


@pytest.fixture
def collected(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The opsets that translations were collected for, in order."""
    before, opsets = getattr(ONNXRegistry, METHOD), list[int]()

    def counted(_: type[ONNXRegistry], /, opset_version: int) -> Any:
        opsets.append(opset_version)
        return before(opset_version=opset_version)

    monkeypatch.setattr(ONNXRegistry, METHOD, classmethod(counted))
    return opsets


def test_a_second_export_collects_no_translations_and_gives_the_same_bytes(
    collected: list[int],
) -> None:
    network = new_trainer(series_config()).network
    first, second = (to_onnx(network, "tiny").SerializeToString() for _ in range(2))
    assert first == second
    assert collected == [18]


def test_translations_of_one_export_are_not_those_of_the_next() -> None:
    with reused_registry():
        spoilt, whole = collect(), collect()
        emptied, lost = list(whole.functions)[:2]
        spoilt.functions[emptied].clear()
        del spoilt.functions[lost]
        for kept in (whole, collect()):
            assert kept.functions[emptied]
            assert kept.functions[lost]


def test_other_exports_of_the_process_collect_their_own(collected: list[int]) -> None:
    before = vars(ONNXRegistry)[METHOD]
    with reused_registry():
        collect()
    assert vars(ONNXRegistry)[METHOD] is before
    collect()
    assert collected == [18, 18]
