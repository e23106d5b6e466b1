"""Known faults of exporters and ports, planted into an exported ONNX graph one at a time.

Each fault edits a copy of a correct graph of this package: it makes the one change that a faulty
exporter, port or manual edit would make. A fault that a graph cannot have (swapped gates in a cell
without gates, a wrong scaler in a text model) does not apply to it. Names and axes come from the
contract of the graph, which may be that of a user's module.
"""

from pipeline.validate.faults import layers, states, task
from pipeline.validate.faults.fault import Fault, plant

__all__ = ["FAULTS", "Fault", "plant"]

FAULTS = (*layers.FAULTS, *states.FAULTS, *task.FAULTS)
