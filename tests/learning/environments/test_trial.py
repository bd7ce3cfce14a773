"""What a trial of an environment before training shows, and that it leaves no trace."""

from __future__ import annotations

import logging
import random
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from commands import here
from gymnasium import spaces

from rlbench.agents import DQN
from rlbench.errors import UserError
from rlbench.experiments.planning import plan
from rlbench.experiments.preflight import preflight
from rlbench.learning.environments import trial as module
from rlbench.learning.environments.lanes import EnvLanes
from rlbench.learning.environments.trial import try_environment


class Sound(gymnasium.Env[Any, Any]):
    """Two random numbers for twenty steps."""

    observation_space: spaces.Space[Any] = spaces.Box(-1, 1, (2,), np.float32)
    action_space = spaces.Discrete(2)

    def obs(self) -> Any:
        return self.np_random.uniform(-1, 1, 2).astype(np.float32)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.t = 0
        return self.obs(), {}

    def step(self, action: Any) -> Any:
        self.t += 1
        return self.obs(), float(action), self.t >= 20, False, {}


class OwnGenerator(Sound):
    def __init__(self) -> None:
        self.own = np.random.default_rng(0)

    def obs(self) -> Any:
        return self.own.uniform(-1, 1, 2).astype(np.float32)


class OwnRewards(OwnGenerator):
    """Only rewards are drawn from it."""

    obs = Sound.obs

    def step(self, action: Any) -> Any:
        obs, _, *rest = super().step(action)
        return obs, self.own.random(), *rest


class OwnSteps(OwnGenerator):
    def obs(self) -> Any:
        return super().obs() if self.t else np.zeros(2, np.float32)


class OwnLayout(Sound):
    """Drawn when it is made, so that the same environment is reproducible and another is not."""

    def __init__(self) -> None:
        self.layout = np.random.default_rng().uniform(0, 1, 2).astype(np.float32)

    def obs(self) -> Any:
        return self.layout


class Global(Sound):
    """Draws from the global generators."""

    def obs(self) -> Any:
        return np.array([np.random.rand(), random.random()], np.float32)  # noqa: NPY002


class Over(Sound):
    def obs(self) -> Any:
        return 3.0 * np.ones(2, np.float32)


class Stamped(Sound):
    observation_space = spaces.Dict(
        t=spaces.Box(0, 2**40, (1,), np.int64), x=spaces.Box(-1, 1, (2,), np.float64)
    )

    def obs(self) -> Any:
        return {"t": np.array([1_700_000_000 + self.t]), "x": self.np_random.uniform(-1, 1, 2)}


class Jitter(Sound):
    """float64 with noise in its last bits, around numbers that float32 rounds."""

    observation_space = spaces.Box(-9, 9, (2,), np.float64)

    def obs(self) -> Any:
        x = self.np_random.uniform(-1, 1)
        return np.array([np.sin(x) ** 2 + np.cos(x) ** 2 + 0.1, x])


class Nanoseconds(Sound):
    """Integers that float64 does not hold."""

    observation_space: spaces.Space[Any] = spaces.Box(0, 2**62, (1,), np.int64)
    at = 2**60

    def obs(self) -> Any:
        return np.array([self.at + self.t])


class Sentinel(Nanoseconds):
    """As large, and float64 holds it."""

    def obs(self) -> Any:
        return np.array([self.at])


class Nested(Nanoseconds):
    observation_space = spaces.Dict(a=spaces.Tuple([spaces.Box(0, 2**63, (2,), np.uint64)]))

    def obs(self) -> Any:
        return {"a": (np.array([1, 2**60 + 1], np.uint64),)}


def said(cls: Any, reads: bool = True, normalised: bool = False) -> str:
    return "; ".join(try_environment(cls, reads, normalised))


@pytest.mark.parametrize(
    ("cls", "words"),
    [
        (OwnGenerator, "reset with the same seed gave other observations"),
        (OwnLayout, "reset with the same seed gave other observations"),
        (Global, "reset with the same seed gave other observations"),
        (OwnSteps, "the same seed and actions gave other observations"),
        (OwnRewards, "the same seed and actions gave other rewards"),
        (Over, "overstep observation_space: 3 is not in [-1, 1]"),
        (Stamped, "1700000000 lose the digits"),
    ],
)
def test_what_is_said(cls: Any, words: str) -> None:
    assert words in said(cls)
    assert said(cls).count(";") == 0


@pytest.mark.parametrize("cls", [Sound, Jitter, "CartPole-v1", "Pendulum-v1", "Blackjack-v1"])
def test_nothing_is_said_of_what_is_sound(cls: Any) -> None:
    """Negative control, also of environments of Gymnasium's."""
    make = (lambda: gymnasium.make(cls)) if isinstance(cls, str) else cls
    assert try_environment(make, True, False) == []


def test_digits_are_kept_where_they_are_normalised_or_not_read() -> None:
    assert said(Stamped, normalised=True) == said(Stamped, reads=False) == ""


def test_integers_that_float64_does_not_hold_are_told() -> None:
    for normalised in (False, True):
        for cls, value in ((Nanoseconds, 2**60 + 1), (Nested, 2**60 + 1)):
            found = said(cls, normalised=normalised)
            assert found.startswith(f"observations such as {value} are beyond 2^53")
            assert ";" not in found
        assert said(Sentinel, normalised=normalised) == ""
    assert said(Nanoseconds, reads=False) == ""


def test_it_is_in_the_first_line_of_a_run() -> None:
    line = preflight(plan("dqn", "test_trial:OwnGenerator", [0]))
    assert line.endswith("results are not reproducible, and lanes may be identical")


class Wrong(Sound):
    def obs(self) -> Any:
        return np.zeros(2 if self.t < 3 else 1, np.float32)


def test_what_does_not_fit_its_space_is_refused_before_anything_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In one line, with the step and both shapes."""
    assert here("run", "dqn", "--env", "test_trial:Wrong", "--out", tmp_path / "out") == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line == (
        "Error: the environment cannot be used: observation has shape (1,), but observation_space "
        "says (2,) (step 3 of a trial)"
    )
    assert not (tmp_path / "out").exists()


def test_learn_in_python_logs_it_once(caplog: pytest.LogCaptureFixture) -> None:
    """An environment that is copied is not disturbed: its copies are all alike."""
    pattern = OwnGenerator()
    before = pattern.own.bit_generator.state
    agent = DQN(pattern, net_arch=4, buffer_size=50, device="cpu")
    with caplog.at_level(logging.WARNING, "rlbench"):
        agent.learn(8)
        agent.learn(8)
    assert caplog.text.count("reset with the same seed gave other observations") == 1
    assert pattern.own.bit_generator.state == before
    with pytest.raises(UserError, match=r"\(1,\).*step 3"):
        DQN(Wrong, net_arch=4, buffer_size=50, device="cpu").learn(8)


def test_global_generators_are_left_as_they_were() -> None:
    before = random.getstate(), np.random.get_state()[1].tobytes()  # type: ignore[index]  # noqa: NPY002
    assert said(Global)
    after = random.getstate(), np.random.get_state()[1].tobytes()  # type: ignore[index]  # noqa: NPY002
    assert before == after


def test_a_slow_environment_is_tried_briefly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SLOW", 0.0)
    made: list[int] = []

    def make() -> Any:
        made.append(1)
        return OwnGenerator()

    assert try_environment(make, True, False) == []
    assert made == [1]


class OverLater(Sound):
    """Outside its bounds from step 15 of an episode on, which no trial reaches."""

    def obs(self) -> Any:
        return (1.0 if self.t < 15 else 4.0) * np.ones(2, np.float32)


class BytesOver(OverLater):
    """The same of bytes whose space does not take them all."""

    observation_space = spaces.Box(0, 9, (2,), np.uint8)

    def obs(self) -> Any:
        return np.full(2, 9 if self.t < 15 else 10, np.uint8)


class BytesWithin(BytesOver):
    observation_space = spaces.Box(0, 255, (2,), np.uint8)


class Unbounded(OverLater):
    observation_space = spaces.Box(-np.inf, np.inf, (2,), np.float32)


@pytest.mark.parametrize(
    ("cls", "words"),
    [(OverLater, "4 is not in [-1, 1]"), (BytesOver, "10 is not in [0, 9]"),
     (Sound, ""), (BytesWithin, ""), (Unbounded, "")],
)  # fmt: skip
def test_bounds_overstepped_after_the_trial_are_told_once(
    cls: Any, words: str, caplog: pytest.LogCaptureFixture
) -> None:
    """By the lanes; nothing is said of what stays within its bounds, or has none."""
    assert said(cls) == ""
    lanes = EnvLanes(cls, (0, 1), 2)
    lanes.reset()
    with caplog.at_level(logging.WARNING, "rlbench"):
        for _ in range(600):
            lanes.step(np.zeros((2, 2), np.int64))
    assert caplog.text.count("overstep observation_space") == (words != "")
    assert words in caplog.text
