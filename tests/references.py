"""References of a bundle that others are compared with."""

from pipeline.bundle import Bundle, network_of
from pipeline.bundle.network import network_reference
from pipeline.verify import Reference


def reference_of(bundle: Bundle) -> Reference:
    """The network in ``bundle`` as a reference."""
    return network_reference(network_of(bundle), bundle.task_data())
