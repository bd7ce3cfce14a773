"""References: what 0 and 1 are, and that the measured floor goes first."""

import gymnasium
import numpy as np
import pytest

from rlbench.reporting.statistics.reference_scores import REFERENCES, Scale, normalise, scale_of


def test_thresholds_are_those_of_the_registry() -> None:
    """A negative control is that not all have one."""
    known = {env: gymnasium.spec(env).reward_threshold for env in REFERENCES if "/" not in env}
    assert known.pop("Pendulum-v1") is None
    assert known == {env: REFERENCES[env].high for env in known}


def test_the_measured_floor_goes_first() -> None:
    stated, measured = scale_of("CartPole-v1"), scale_of("CartPole-v1", random=21.0)
    assert stated == Scale(
        22.2, 475.0, "a random policy (1,000 episodes)", "Gymnasium's reward threshold"
    )
    assert measured is not None
    assert (measured.low, measured.low_from) == (21.0, "the agent random beside it")
    assert scale_of("CartPole-v1+mask-velocity") == stated
    assert scale_of("CartPole-v1", random=float("nan")) == stated  # it has not run to its end


def test_no_scale_where_an_end_is_missing() -> None:
    assert scale_of("Nothing-v0") is None
    assert scale_of("Nothing-v0", random=1.0) is None
    assert scale_of("Nothing-v0", threshold=2.0) is None
    assert scale_of("Nothing-v0", 1.0, 2.0) == Scale(
        1.0, 2.0, "the agent random beside it", "its reward threshold"
    )
    assert scale_of("Nothing-v0", 2.0, 2.0) is None
    assert scale_of("MountainCarContinuous-v0") is None
    assert scale_of("CartPole-v1", random=480.0) is None


def test_every_reference_is_stated_in_full() -> None:
    for env, known in REFERENCES.items():
        assert (known.random is None) == (known.random_from == ""), env
        assert (known.high is None) == (known.high_from == ""), env
        assert scale_of(env, random=known.random if known.random is not None else -100.0)


def test_normalise_maps_low_to_0_and_high_to_1() -> None:
    found = normalise([0.0, 5.0, 10.0, 20.0, np.nan], 0, 10)
    assert found.tolist() == pytest.approx([0, 0.5, 1, 2, np.nan], nan_ok=True)
    for low, high in ((1.0, 1.0), (2.0, 1.0), (np.nan, 1.0), (0.0, np.inf)):
        with pytest.raises(ValueError, match="from a lower to a higher"):
            normalise([1.0], low, high)
