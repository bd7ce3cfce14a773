"""Every call of an environment is checked, wherever it is made; what it raises ends its seed."""

from __future__ import annotations

import re
import signal
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from commands import process, run_folder
from gymnasium import spaces
from gymnasium.spaces import utils

from rlbench.agents import DQN
from rlbench.errors import Interrupted, UserError
from rlbench.experiments.cost_estimate import memory
from rlbench.experiments.planning import baseline_limit, plan, usual_limit
from rlbench.experiments.preflight import run_metadata
from rlbench.learning.environments.calls import BadEnvironment, EnvCalls
from rlbench.learning.environments.lanes import EnvLanes, SeedFailure
from rlbench.learning.environments.observations import BadObservation
from rlbench.learning.environments.spaces import ObsSpec
from rlbench.learning.training.schedule import TrainingSchedule, overflow_allowed
from rlbench.learning.training.trainer import Trainer
from rlbench.rows import Evaluation, SeedEnded
from rlbench.user_code.calls import UserCodeError, guarded

F32 = np.float32
VECTOR = spaces.Box(-1, 1, (2,), F32)
BYTES = spaces.Box(0, 255, (2, 3), np.uint8)
MIXED = spaces.Dict(
    place=spaces.Box(-1, 1, (2,), F32),
    bits=spaces.MultiBinary(3),
    pair=spaces.Tuple([spaces.Discrete(3, start=1), spaces.MultiDiscrete([2, 4])]),
)


def mixed(**changed: Any) -> dict[str, Any]:
    return {
        "place": np.ones(2, F32), "bits": np.array([1, 0, 1]), "pair": (2, np.array([1, 3])),
        **changed,
    }  # fmt: skip


class Scripted(gymnasium.Env[Any, Any]):
    """Five steps of one good observation; from step 3 on what `then` returns, whole steps.

    `late` is said only in evaluation, whose reset seeds are below 2**30.
    """

    action_space = spaces.Discrete(2)

    def __init__(
        self,
        space: spaces.Space[Any] = VECTOR,
        good: Any = (0.0, 0.5),
        then: Callable[[], Any] | None = None,
        sealed: bool = False,
        first: Callable[[], Any] | None = None,
    ) -> None:
        self.observation_space, self.then, self.sealed, self.first = space, then, sealed, first
        self.good = np.array(good, F32) if isinstance(good, tuple) and space is VECTOR else good

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        if seed is not None:
            self.here = seed < 2**30 or not self.sealed
        self.t = 0
        return self.first() if self.first else (self.good, {})

    def step(self, action: Any) -> Any:
        self.t += 1
        if self.then is not None and self.here and self.t >= 3:
            return self.then()
        return self.good, 1.0, self.t >= 5, False, {}


def seen(obs: Any, reward: Any = 1.0) -> Callable[[], Any]:
    return lambda: (obs, reward, False, False, {})


class Odd:
    """Cannot be asked for anything."""

    def __bool__(self) -> bool:
        raise SystemExit(0)

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        raise SystemExit(0)

    def __repr__(self) -> str:
        raise SystemExit(0)


@pytest.mark.parametrize("place", range(5))
def test_objects_that_exit_when_they_are_looked_at(place: int) -> None:
    """Observation, reward, terminated, truncated, or all of it: a Fault, which ends one seed."""
    out: Any = [np.zeros(2, F32), 1.0, False, False, {}]
    out[place] = Odd()
    env: Any = type("World", (), {"step": lambda self, action: Odd() if place == 4 else out})()
    with pytest.raises(UserCodeError):
        EnvCalls(ObsSpec(VECTOR)).step(env, 0)


class Silent(Exception):
    """Exits when it is asked what it says."""

    def __str__(self) -> str:
        raise SystemExit(0)


def test_an_exception_that_exits_when_it_is_asked() -> None:
    def fail() -> None:
        raise Silent

    with pytest.raises(UserCodeError, match=r"^Silent$"):
        guarded(fail)


class CloseExits(Scripted):
    """Exits when it is closed."""

    def close(self) -> None:
        raise SystemExit(0)


def test_closing_ends_nothing() -> None:
    """Neither where it is planned, nor where it is used."""
    run = plan("random", "test_calls:CloseExits", (0,), total_timesteps=5, final_episodes=1,
               eval_episodes=1, device="cpu", eval_max_steps=7)  # fmt: skip
    run_metadata(run)
    assert baseline_limit(run.source, 5) is not None
    assert DQN(CloseExits).seeds == (0,)


def leave() -> Any:
    raise SystemExit(0)


def cancel() -> Any:
    raise GeneratorExit("gone")


FAULTS: dict[str, tuple[spaces.Space[Any], Any, Callable[[], Any], str, str]] = {
    "shape": (VECTOR, (0.0, 0.5), seen(np.zeros(1, F32)), "failed", r"\(1,\).*\(2,\)"),
    "scalar": (VECTOR, (0.0, 0.5), seen(0.5), "failed", r"shape \(\).*\(2,\)"),
    "text": (VECTOR, (0.0, 0.5), seen("north"), "failed", "type str"),
    "none": (VECTOR, (0.0, 0.5), seen(None), "failed", "NoneType"),
    "nan": (VECTOR, (0.0, 0.5), seen(np.array([0, np.nan], F32)), "diverged", "NaN or infinite"),
    "overflow": (VECTOR, (0.0, 0.5), seen(np.array([0, 1e300])), "diverged", "NaN or infinite"),
    "fractions": (BYTES, np.zeros((2, 3), np.uint8), seen(np.full((2, 3), 0.5)), "failed",
                  r"0\.5 \(float64\).*uint8"),
    "300": (BYTES, np.zeros((2, 3), np.uint8), seen(np.full((2, 3), 300)), "failed", "300.*uint8"),
    "-1": (BYTES, np.zeros((2, 3), np.uint8), seen(np.full((2, 3), -1)), "failed", "-1.*uint8"),
    "bool": (spaces.Box(0, 1, (2,), np.bool_), np.zeros(2, bool), seen(np.array([0, 2])),
             "failed", "2.*bool"),
    "category": (spaces.Discrete(3), 1, seen(7), "failed", r"7.*Discrete\(3\)"),
    "below": (spaces.Discrete(3, start=2), 2, seen(1), "failed", "observation is 1"),
    "half": (spaces.Discrete(3), 1, seen(1.5), "failed", "1.5"),
    "categories": (spaces.MultiDiscrete([2, 3]), np.array([1, 2]), seen(np.array([2, 0])),
                   "failed", r"\[2, 0\]"),
    "part": (MIXED, mixed(), seen(mixed(pair=(4, np.array([1, 3])))), "failed",
             r"\['pair'\]\[0\] is 4"),
    "part-nan": (MIXED, mixed(), seen(mixed(place=np.array([np.inf, 0]))), "diverged", "infinite"),
    "part-shape": (MIXED, mixed(), seen(mixed(place=np.zeros(3))), "failed", r"\(3,\).*\(2,\)"),
    "part-bits": (MIXED, mixed(), seen(mixed(bits=np.array([1, 0, 2]))), "failed", "'bits'"),
    "part-missing": (MIXED, mixed(), seen({"place": np.zeros(2)}), "failed", "no 'bits'"),
    "four": (VECTOR, (0.0, 0.5), lambda: (np.zeros(2, F32), 1.0, False, {}), "failed",
             "tuple of 4"),
    "two-flags": (VECTOR, (0.0, 0.5), lambda: (np.zeros(2, F32), 1.0, np.zeros(2), False, {}),
                  "failed", r"terminated and truncated .* shape \(2,\) and False"),
    "nothing": (VECTOR, (0.0, 0.5), lambda: None, "failed", "step must return"),
    "reward-none": (VECTOR, (0.0, 0.5), seen(np.zeros(2, F32), None), "failed", "reward.*None"),
    "reward-text": (VECTOR, (0.0, 0.5), seen(np.zeros(2, F32), "1"), "failed", "reward.*'1'"),
    "reward-two": (VECTOR, (0.0, 0.5), seen(np.zeros(2, F32), np.zeros(2)), "failed", r"\(2,\)"),
    "reward-nan": (VECTOR, (0.0, 0.5), seen(np.zeros(2, F32), float("nan")), "diverged", "reward"),
    "exit": (VECTOR, (0.0, 0.5), leave, "failed", "SystemExit.*: 0"),
    "cancel": (VECTOR, (0.0, 0.5), cancel, "failed", "GeneratorExit.*: gone"),
}  # fmt: skip


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_ends_its_seed_in_training_and_in_evaluation(name: str) -> None:
    """With the step, or as one of evaluation, and in words that name what is wrong."""
    space, good, then, status, said = FAULTS[name]
    ends = []
    for sealed in (False, True):
        agent = DQN(partial(Scripted, space, good, then, sealed), net_arch=4, device="cpu")
        agent.set_horizon(20)
        with overflow_allowed():
            rows = list(Trainer(agent, TrainingSchedule(20, 0, final_episodes=3)).rows())
        (end,) = [row for row in rows if isinstance(row, SeedEnded)]
        assert not [row for row in rows if isinstance(row, Evaluation)]
        ends.append(end)
    training, evaluation = ends
    assert (training.status, evaluation.status) == (status, status)
    assert training.reason.endswith("at step 2")
    assert "in evaluation" in evaluation.reason
    assert evaluation.reason.endswith("at step 20")
    for end in ends:
        assert re.search(said, end.reason), end.reason


def test_scripted_is_sound_otherwise() -> None:
    """Negative control: the same environments without a fault train and are scored."""
    for space, good, *_ in FAULTS.values():
        agent = DQN(partial(Scripted, space, good), net_arch=4, device="cpu")
        agent.set_horizon(20)
        rows = list(Trainer(agent, TrainingSchedule(20, 0, final_episodes=3)).rows())
        assert [row.ret for row in rows if isinstance(row, Evaluation)] == [5.0] * 3
        assert rows[-1] == SeedEnded(0, 20, "done", "")


@pytest.mark.parametrize(
    ("space", "obs"),
    [
        (VECTOR, np.array([0.1, 0.7])),
        (VECTOR, [0.1, 0.7]),
        (VECTOR, np.array([0, 1])),
        (spaces.Box(0, 1, (), F32), 0.5),
        (BYTES, np.full((2, 3), 200)),
        (BYTES, np.full((2, 3), 3.0)),
        (BYTES, [[1, 2, 3], [4, 5, 255]]),
        (spaces.Discrete(3, start=2), np.int8(4)),
        (spaces.Discrete(3), np.array(2)),
        (spaces.MultiDiscrete([2, 3]), (1, 2)),
        (spaces.MultiDiscrete(np.array([[2, 3], [4, 5]])), np.array([[1, 2], [3, 4]], np.int32)),
        (MIXED, mixed()),
        (MIXED, {**mixed(), "extra": None}),
    ],
)
def test_values_that_are_kept_are_welcome_in_any_dtype(space: Any, obs: Any) -> None:
    """What is stored is the observation, or what Gymnasium's `flatten` makes of it."""
    spec = ObsSpec(space)
    stored = np.zeros(spec.shape, spec.dtype)
    stored[...] = spec.array(obs)
    if isinstance(space, spaces.Box):
        expected: Any = np.asarray(obs, spec.dtype)
    elif isinstance(space, spaces.Discrete | spaces.MultiDiscrete):
        expected = np.ravel(obs) - np.ravel(space.start)
    else:
        expected = np.asarray(utils.flatten(space, obs), F32)
    np.testing.assert_array_equal(stored, expected)


@pytest.mark.parametrize("seed", range(20))
def test_dicts_and_tuples_are_flattened_as_gymnasium_does(seed: int) -> None:
    rng = np.random.default_rng(seed)

    def part(depth: int) -> spaces.Space[Any]:
        kinds: list[Callable[[], spaces.Space[Any]]] = [
            lambda: spaces.Box(-9, 9, tuple(rng.integers(1, 4, rng.integers(3)).tolist()), F32),
            lambda: spaces.Box(0, 255, (2, 2), np.uint8),
            lambda: spaces.Discrete(int(rng.integers(1, 5)), start=int(rng.integers(-3, 3))),
            lambda: spaces.MultiDiscrete(rng.integers(1, 4, (2, 2)), start=np.full((2, 2), -1)),
            lambda: spaces.MultiBinary([2, 2]),
        ]
        if depth:
            kinds += [
                lambda: spaces.Dict({f"k{i}": part(depth - 1) for i in range(2)}),
                lambda: spaces.Tuple([part(depth - 1) for _ in range(2)]),
            ]
        return kinds[rng.integers(len(kinds))]()

    space = spaces.Dict(a=part(2), b=part(2))
    space.seed(seed)
    for _ in range(5):
        obs = space.sample()
        np.testing.assert_array_equal(
            ObsSpec(space).array(obs), np.asarray(utils.flatten(space, obs), F32)
        )


@pytest.mark.parametrize(
    ("first", "said"),
    [
        (lambda: np.array([0.3, 0.1], F32), r"reset must return.*shape \(2,\)"),
        (lambda: (np.zeros(2, F32), 1.0), "reset must return.*dictionary as info, not 1.0"),
        (lambda: (np.zeros(2, F32), None), "reset must return.*dictionary as info, not None"),
        (lambda: None, "reset must return.*None"),
        (lambda: (np.zeros(3, F32), {}), r"\(3,\).*\(2,\)"),
        (lambda: (np.zeros(2, complex), {}), "complex"),
    ],
)
def test_a_wrong_first_observation_is_a_mistake(first: Any, said: str) -> None:
    """It is the environment's, not one of a seed: nothing has begun."""
    with pytest.raises(UserError, match=said):
        EnvLanes(partial(Scripted, first=first), (0, 1)).reset()


class Unclosable(Scripted):
    """Its close fails, for the same reason as often as it is tried."""

    def close(self) -> None:
        raise RuntimeError("the door is stuck")


def test_an_environment_that_cannot_be_closed_trains_and_says_so_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Also where it is only looked at: in planning, estimates, `set_env` and other processes."""
    agent = DQN(Unclosable, net_arch=4, device="cpu")
    agent.set_env(Unclosable)
    agent.learn(20, eval_freq=10, eval_episodes=2)
    name = f"{__name__}:Unclosable"
    planned = plan("dqn", name, [0], total_timesteps=20)
    assert run_metadata(planned)["eval_max_steps"] == usual_limit(planned.source, 20) == 1000
    assert baseline_limit(planned.source, 20) == 1000
    assert memory(planned) > 0
    said = [line for line in caplog.messages if "could not be closed" in line]
    assert said == ["an environment could not be closed: RuntimeError: the door is stuck"]


def test_a_lane_that_exits_at_its_first_reset_ends_its_seed_alone() -> None:
    def make(count: list[int]) -> Any:
        count[0] += 1
        return Scripted(first=leave if count[0] == 2 else None)

    lanes = EnvLanes(partial(make, [0]), (4, 5, 6))
    with pytest.raises(SeedFailure) as caught:
        lanes.reset()
    assert caught.value.broken == {1: ("failed", "SystemExit: 0")}


def test_ctrl_c_passes_and_a_keyboard_interrupt_of_its_own_does_not() -> None:
    """Without a handler of ours nobody can tell; with one, Ctrl-C raises Interrupted."""

    def press(error: type[BaseException]) -> Any:
        raise error

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            guarded(press, KeyboardInterrupt)
        signal.signal(signal.SIGINT, lambda *_: None)
        with pytest.raises(Interrupted):
            guarded(press, Interrupted)
        with pytest.raises(UserCodeError, match="KeyboardInterrupt"):
            guarded(press, KeyboardInterrupt)
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_constructor_that_exits_is_a_mistake() -> None:
    with pytest.raises(UserError, match="SystemExit: 3"):
        DQN(partial(sys.exit, 3))


class Leaves(Scripted):
    """Ends the process, or tries to: with success, in the second episode."""

    def __init__(self) -> None:
        super().__init__(then=leave)


def test_a_run_with_an_environment_that_exits_ends_as_failed(tmp_path: Path) -> None:
    args = ["run", "random", "--env", "test_calls:Leaves", "-n", "40", "--out", "out"]
    done = process(*args, cwd=tmp_path)
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    info = next(run_folder(tmp_path / "out", "random").glob("seeds-*/part.json")).read_text()
    assert '"failed"' in info
    assert "SystemExit in evaluation: 0 at step 0" in info


@pytest.mark.parametrize("how", ["reset", "step"])
def test_old_interfaces_are_named(how: str) -> None:
    """The API of before Gymnasium: reset without info, and four values a step."""
    env: Any = Scripted(then=lambda: (np.zeros(2, F32), 1.0, False, {}))
    calls = EnvCalls(ObsSpec(VECTOR))
    if how == "reset":
        env.reset = lambda **_: np.zeros(2, F32)
        with pytest.raises(BadEnvironment, match=r"\(observation, info\)"):
            calls.reset(env)
        return
    calls.reset(env, seed=0)
    env.t = 5
    with pytest.raises(BadEnvironment, match=r"terminated, truncated, info\)"):
        calls.step(env, 0)


def test_predict_refuses_what_is_no_observation() -> None:
    agent = DQN(partial(Scripted, BYTES, np.zeros((2, 3), np.uint8)), net_arch=4, device="cpu")
    assert agent.predict(np.full((2, 3), 7))[0] in (0, 1)
    with pytest.raises(UserError, match=r"0\.5 .*uint8"):
        agent.predict(np.full((2, 3), 0.5))
    with pytest.raises(BadObservation):
        agent.spec.array(np.full((2, 3), 0.5))
