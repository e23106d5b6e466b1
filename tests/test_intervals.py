"""Coverage counts how much of the truth lies between the quantiles of samples."""

import json

import numpy as np
import pytest
import torch
from tiny import data_of, series_config, trained

from pipeline.contract.records import SeriesScores
from pipeline.data import Series
from pipeline.train.intervals import free_run_coverage, one_step_coverage
from pipeline.train.scores import score


def test_normal_errors_of_the_known_spread_are_covered_as_stated() -> None:
    off = np.random.default_rng(1).normal(size=(20_000, 2)) * [0.5, 3]
    assert one_step_coverage(off, (0.5, 3)) == pytest.approx(0.8, abs=0.01)
    assert one_step_coverage(off * 2, (0.5, 3)) == pytest.approx(0.478, abs=0.02)  # P(|z| < 0.64)
    assert one_step_coverage(off * 0, (0, 0)) == 1


def test_paths_that_a_network_makes_with_noise_are_covered_as_stated() -> None:
    network = trained(series_config("gru", num_layers=1)).best_network().eval()
    rng, spread, origins, steps = np.random.default_rng(2), (0.3,), 300, 6
    first, state = torch.zeros(origins, 1, 1), network.zero_state(origins)
    with torch.inference_mode():
        x, carried, truth = first, state, []
        for _ in range(steps):
            x = x + torch.from_numpy(rng.normal(0, 0.3, x.shape).astype(np.float32))
            truth.append(x)
            x, carried = network(x, carried)
        made = torch.cat(truth, dim=1).double().numpy()
        assert free_run_coverage(network, first, state, made, spread) == pytest.approx(
            0.8, abs=0.03
        )
        assert free_run_coverage(network, first, state, made, spread) == free_run_coverage(
            network, first, state, made, spread
        )
        assert free_run_coverage(network, first, state, made + 100, spread) == 0
        assert free_run_coverage(network, first, state, made, (30.0,)) > 0.95


def test_scores_have_a_coverage_and_those_of_earlier_versions_are_read_and_written_alike() -> None:
    config = series_config("gru")
    data = data_of(config)
    assert isinstance(data, Series)
    found = score(trained(config).best_network(), data)
    assert isinstance(found, SeriesScores)
    assert found.coverage is not None
    assert 0 < found.coverage.one_step <= 1
    assert found.coverage.free_run is not None
    content = json.loads(found.model_dump_json())
    assert SeriesScores.model_validate_json(json.dumps(content)) == found
    del content["coverage"]
    earlier = SeriesScores.model_validate_json(json.dumps(content))
    assert earlier.coverage is None
    assert earlier.model_dump(mode="json") == content
