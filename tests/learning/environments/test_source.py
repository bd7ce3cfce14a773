"""How often environments are made, and that those used again are as if they had been made anew."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import gymnasium
import numpy as np
import pytest
from commands import here, run_folder, tables
from gymnasium import spaces
from worlds import World

from rlbench.agents import DQN
from rlbench.errors import UserError
from rlbench.experiments.planning import plan
from rlbench.experiments.preflight import preflight, run_metadata
from rlbench.learning.environments import pristine
from rlbench.learning.environments.source import EnvSource, make_envs, release_envs
from rlbench.learning.evaluation.episodes import evaluate

SHORT = ["-p", "learning_starts=20", "-p", "net_arch=4", "-p", "batch_size=8", "--no-preset",
         "--device", "cpu", "-q"]  # fmt: skip


class Counted(World):
    """Counts how many are made."""

    made: ClassVar[int] = 0

    def __init__(self) -> None:
        super().__init__()
        Counted.made += 1


class Lingering(World):
    """Its rewards depend on all that was done with this object."""

    def __init__(self) -> None:
        super().__init__()
        self.resets, self.sums = 0, np.zeros(2)
        self.memory: dict[str, Any] = {"seen": []}

    def reset(self, **given: Any) -> Any:
        self.resets += 1
        return super().reset(**given)

    def step(self, action: Any) -> Any:
        self.sums += [1.0, float(action)]
        self.memory["seen"].append(int(action))
        obs, reward, *ends = super().step(action)
        seen = self.memory["seen"]
        return obs, reward + self.resets + 0.01 * self.sums[1] + 0.1 * len(seen), *ends


class Late(Lingering):
    """Holds attributes that it has from its first step only."""

    def step(self, action: Any) -> Any:
        obs, reward, *ends = super().step(action)
        self.late = getattr(self, "late", 0) + 1
        return obs, reward + self.late, *ends


class Box:
    """An object that is no plain data."""

    def __init__(self) -> None:
        self.count = 0


class Opaque(Lingering):
    def __init__(self) -> None:
        super().__init__()
        self.box = Box()

    def step(self, action: Any) -> Any:
        self.box.count += 1
        obs, reward, *ends = super().step(action)
        return obs, reward + self.box.count, *ends


class Slotted(Lingering):
    __slots__ = ("count",)

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def step(self, action: Any) -> Any:
        self.count += 1
        obs, reward, *ends = super().step(action)
        return obs, reward + self.count, *ends


SHARED = [0]


class Sharing(Lingering):
    """All of them write to one list, from which each has its own number."""

    def __init__(self) -> None:
        super().__init__()
        self.shared = SHARED

    def step(self, action: Any) -> Any:
        self.shared[0] += 1
        obs, reward, *ends = super().step(action)
        return obs, reward + self.shared[0], *ends


class Growing(Lingering):
    """Its constructor reads what others have done."""

    total: ClassVar[int] = 0

    def __init__(self) -> None:
        super().__init__()
        self.level = Growing.total // 40

    def step(self, action: Any) -> Any:
        Growing.total += 1
        obs, reward, *ends = super().step(action)
        return obs, reward + 100 * self.level, *ends


class OwnGenerator(Lingering):
    def __init__(self) -> None:
        super().__init__()
        self.rng = np.random.default_rng(3)

    def step(self, action: Any) -> Any:
        obs, reward, *ends = super().step(action)
        return obs, reward + self.rng.random(), *ends


class Seeding(Lingering):
    """Its constructor sets a global generator, from which its steps draw."""

    def __init__(self) -> None:
        super().__init__()
        np.random.seed(5)  # noqa: NPY002

    def step(self, action: Any) -> Any:
        obs, reward, *ends = super().step(action)
        return obs, reward + np.random.random(), *ends  # noqa: NPY002


class OwnDraws(Lingering):
    """Draws from its action space, which is seeded once."""

    def step(self, action: Any) -> Any:
        if self.action_space._np_random is None:
            self.action_space.seed(4)
        obs, reward, *ends = super().step(action)
        return obs, reward + float(self.action_space.sample()), *ends


class Widening(Lingering):
    """Changes its space while it is used."""

    def __init__(self) -> None:
        super().__init__()
        self.observation_space = spaces.Box(-9.0, 9.0, (3,), np.float32)
        self.add: Callable[[], float] = self.nothing

    def nothing(self) -> float:
        return 0.0

    def something(self) -> float:
        return 1.0

    def step(self, action: Any) -> Any:
        self.observation_space.high += 1.0  # type: ignore[attr-defined]
        obs, reward, *ends = super().step(action)
        reward += self.add()
        self.add = self.something
        return obs, reward, *ends


def normalised() -> Any:
    return gymnasium.wrappers.NormalizeReward(Lingering())


def limited() -> Any:
    return gymnasium.wrappers.TimeLimit(Lingering(), 7)


KEPT: list[Any] = [Lingering, Late, limited, partial(gymnasium.make, "CartPole-v1")]
ANEW: list[Any] = [
    Opaque, Slotted, Sharing, Growing, OwnGenerator, Seeding, OwnDraws, Widening, normalised,
]  # fmt: skip


def names(kinds: list[Any]) -> list[str]:
    return [getattr(kind, "__name__", "CartPole") for kind in kinds]


def scores(make: Any, agent: DQN, evaluations: int = 3) -> list[list[float]]:
    """Returns of several evaluations of the same policy, one after the other."""
    found = []
    Growing.total, SHARED[0] = 0, 0
    for _ in range(evaluations):
        scores = evaluate(agent.policy(), make, "grid", 13)
        found.append([score.ret for score in scores if score is not None])
    return found


@pytest.mark.parametrize("kind", KEPT + ANEW, ids=names(KEPT + ANEW))
def test_evaluations_are_those_of_new_environments(kind: Any) -> None:
    agent = DQN(kind, seeds=2, net_arch=4, device="cpu")
    made: list[int] = []

    def make() -> Any:
        made.append(1)
        return kind()

    expected = scores(make, agent)
    assert len(made) == 3 * 20
    made.clear()
    assert scores(EnvSource(make), agent) == expected
    assert len(made) == (20 + 2 if kind in KEPT else 3 * 20)


@pytest.mark.parametrize("kind", [Lingering, Late], ids=names([Lingering, Late]))
def test_what_is_not_brought_back_would_be_seen(kind: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    agent = DQN(kind, seeds=2, net_arch=4, device="cpu")
    expected = scores(kind, agent)
    monkeypatch.setattr(pristine, "restore", lambda env, new: True)
    assert scores(EnvSource(kind), agent) != expected


def test_a_run_makes_few_environments(tmp_path: Path) -> None:
    """One to look at, one more for the trial, which are lanes then; and ten for evaluation."""
    name = f"{__name__}:Counted"
    Counted.made = 0
    run = ["run", "dqn", "--env", name, "-n", "200", *SHORT, "--no-floor", "--out"]
    assert here(*run, tmp_path / "a", "--seeds", "2", "--eval-freq", "0") == 0
    assert Counted.made == 2 + 20  # two lanes; 20 for the final evaluation
    Counted.made = 0
    assert here(*run, tmp_path / "b", "--seed", "0") == 0
    # Two before training, of which one is the lane; eight more to evaluate; and one new one to
    # compare with for each of twelve evaluations.
    assert Counted.made == 2 + 8 + 12
    assert len(tables(run_folder(tmp_path / "b"))["evaluations"]) == 11 * 10 + 100


def test_one_is_made_to_be_looked_at_before_the_first_step(tmp_path: Path) -> None:
    """The trial, which has steps of its own, is left to workers."""
    Counted.made = 0
    run = plan("dqn", f"{__name__}:Counted", [0, 1], total_timesteps=50)
    assert Counted.made == 0
    line = preflight(run, play=False)
    assert "no step limit" in line
    assert run_metadata(run)["eval_max_steps"] == 1000
    assert Counted.made == 1
    agent = DQN(run.source, seeds=[0, 1], n_envs=3, device="cpu", net_arch=4)
    assert Counted.made == 1
    agent.lanes()
    assert Counted.made == 7  # it was closed where others compute


def test_a_source_looks_when_it_is_asked() -> None:
    source = EnvSource(Counted)
    Counted.made = 0
    assert source.facts.action_space == spaces.Discrete(3)
    env = source()
    assert (Counted.made, source() is env, Counted.made) == (1, False, 2)
    other = pickle.loads(pickle.dumps(EnvSource("CartPole-v1")))
    assert (other.facts.time_limit, other.facts.reward_threshold) == (500, 475.0)
    with pytest.raises(UserError, match="no environment 'Nowhere-v1'"):
        EnvSource("Nowhere-v1").facts  # noqa: B018


def test_what_is_given_back_twice_as_often_as_asked_for_is_closed() -> None:
    source = EnvSource(Counted)
    envs = make_envs(source, 4)
    release_envs(source, envs)
    Counted.made = 0
    again = make_envs(source, 4)
    assert Counted.made == 1
    assert len({id(env) for env in [*envs, *again]}) == 5
    source.close()
    make_envs(source, 2)
    assert Counted.made == 3


def test_copies_of_a_pattern_follow_it() -> None:
    """A callback may change the environment that an agent was given."""
    pattern = Lingering()
    source = EnvSource(pattern)
    release_envs(source, make_envs(source, 3))
    pattern.resets = 7
    assert [env.resets for env in make_envs(source, 3)] == [7, 7, 7]
    assert copy.deepcopy(pattern).resets == 7
