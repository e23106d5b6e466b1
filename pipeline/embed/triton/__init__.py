"""A model repository of the Triton Inference Server, which keeps the states of many streams."""

from collections.abc import Mapping
from pathlib import Path

from pipeline.contract import Bundle
from pipeline.embed.target import CLIENT, Target


def generated(bundle: Bundle) -> Mapping[str, bytes]:
    """The repository of ``bundle``; raises as :func:`repository`, which is slow to import."""
    from pipeline.embed.triton.repository import repository

    return repository(bundle)


TARGET = Target(
    name="triton",
    title="Triton",
    help="ONNX Runtime in the Triton Inference Server: a model repository whose sequence batcher "
    "keeps the state of every stream and runs many in one batch",
    limits="It is not run on a server here: tests parse its configuration and replay the golden "
    "trajectories by the server's rules. It takes no state that grows",
    clients=(Path(__file__).with_name(CLIENT),),
    generated=generated,
    start=(
        *("docker", "run", "--rm", "-p", "8000:8000", "-v", "./repository:/models"),
        *("nvcr.io/nvidia/tritonserver:25.08-py3", "tritonserver", "--model-repository=/models"),
    ),
)
