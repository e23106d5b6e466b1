"""What the programs of every embedded project must do: their contract, as checks to run.

A check gets the programs of a project, the folder of a bundle that must not be changed, and an
empty folder to put a damaged copy in. It says nothing of a bundle that it does not concern: the
text of a series. :data:`CASES` pairs each check with the kinds of bundles that it is run on.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from embedded import KINDS, Programs
from embedded_example import (
    example_answers_at_once,
    example_forecasts,
    example_refuses_changed_files,
    example_refuses_whole_sequences,
    example_refuses_wrong_lines,
    example_refuses_wrong_usage,
    example_writes_text,
)
from embedded_replay import (
    reads_manifests_of_earlier_versions,
    refuses_a_manifest_of_no_model,
    refuses_newer_formats,
    refuses_what_is_no_manifest,
    replay_carries_its_own_state,
    replay_finds_changed_numbers,
    replay_finds_what_is_not_finite,
    replay_passes,
    replay_refuses_a_tolerance_that_proves_nothing,
    replay_refuses_changed_files,
    replay_refuses_missing_folders,
    replay_refuses_what_is_no_golden_file,
    replay_refuses_wrong_shapes,
    replay_refuses_wrong_usage,
    sees_every_flipped_bit_of_the_manifest,
    waits_for_no_pipe,
)

Check = Callable[[Programs, Path, Path], None]
CHECKS: list[Check] = [
    replay_passes,
    replay_finds_changed_numbers,
    replay_carries_its_own_state,
    replay_finds_what_is_not_finite,
    replay_refuses_wrong_shapes,
    replay_refuses_what_is_no_golden_file,
    refuses_newer_formats,
    refuses_what_is_no_manifest,
    sees_every_flipped_bit_of_the_manifest,
    refuses_a_manifest_of_no_model,
    reads_manifests_of_earlier_versions,
    replay_refuses_a_tolerance_that_proves_nothing,
    waits_for_no_pipe,
    replay_refuses_changed_files,
    replay_refuses_missing_folders,
    replay_refuses_wrong_usage,
    example_writes_text,
    example_forecasts,
    example_answers_at_once,
    example_refuses_wrong_lines,
    example_refuses_wrong_usage,
    example_refuses_changed_files,
    example_refuses_whole_sequences,
]
ON_ALL_KINDS = {
    replay_passes,
    replay_carries_its_own_state,
    example_writes_text,
    example_forecasts,
    example_refuses_whole_sequences,
}
ON_ONE_KIND = {  # what is read is the same for all
    sees_every_flipped_bit_of_the_manifest,
    refuses_a_manifest_of_no_model,
    reads_manifests_of_earlier_versions,
    replay_refuses_a_tolerance_that_proves_nothing,
    waits_for_no_pipe,
}


def _kinds(check: Check) -> Sequence[str]:
    if check in ON_ALL_KINDS:
        return KINDS
    return ("series",) if check in ON_ONE_KIND else ("series", "text")


CASES = [
    pytest.param(kind, check, id=f"{kind}: {check.__name__}")
    for check in CHECKS
    for kind in _kinds(check)
]
