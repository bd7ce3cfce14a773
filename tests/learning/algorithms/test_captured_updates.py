"""Agents trained as on a GPU, by captured graphs, against their training on a CPU.

Graphs are emulated (`graph_emulator`): they repeat kernels on the same memory, and nothing else.
Both act by the same graphs, since acting on a CPU rounds otherwise, and have rates of 32 bits: then
every bit has to be the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from agent_cases import CASES
from graph_emulator import EmulatedGraph, emulated
from lockstep import differences, flat, make, state_of
from sampled import sampled
from worlds import World

from rlbench.agents import SAC
from rlbench.learning import checkpoint
from rlbench.learning.algorithms.updates import Updates
from rlbench.learning.hardware import graphs
from rlbench.learning.optim.learner import Learner
from rlbench.learning.optim.optimizers import Adam

SLOW = pytest.mark.slow
SEEDS, STEPS = (4, 5, 6), 46
QUICK = ["sac", "dqn number", "ppo box"]
MORE: dict[str, dict[str, Any]] = {
    "dqn number": {"gradient_steps": 3, "normalize_obs": False},
    "td3 lstm": {"gradient_steps": 2, "policy_delay": 3},
}


@pytest.fixture(autouse=True)
def rates_of_32_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    exact = Learner.rate

    def rounded(learner: Learner, progress: float) -> float:
        rate = exact(learner, progress)
        assert isinstance(rate, float)  # of one setting
        return float(np.float32(rate))

    monkeypatch.setattr(Learner, "rate", rounded)


def start(case: str, horizon: int = STEPS) -> Any:
    kind, env, given = CASES["dqn lstm" if case == "dqn number" else case]
    if case == "dqn number":
        given = {name: value for name, value in given.items() if name != "encoder"}
    given = {**given, "lr_schedule": "linear", **MORE.get(case, {})}
    known = kind.Config.model_fields
    chosen = {name: value for name, value in given.items() if name in known or name == "n_envs"}
    agent = make(kind, env, SEEDS, hidden_size=4, **chosen)
    agent.set_horizon(horizon)
    return agent


def steps(agent: Any, lanes: Any) -> Iterator[Any]:
    """Trains as the trainer does; the agent after each step."""
    while agent.num_timesteps < agent.total_timesteps:
        agent.observe(lanes.step(agent.act(lanes.obs)))
        yield agent


def trained(agent: Any, then: Callable[[Any, Any], Any] | None = None, at: int = 0) -> Any:
    """The agent at its end, or what `then` made of it in the middle."""
    lanes = agent.lanes()
    lanes.reset()
    for _ in steps(agent, lanes):
        if then is not None and agent.num_timesteps >= at:
            agent, then = then(agent, lanes) or agent, None
            for _ in steps(agent, lanes):
                pass
    lanes.close()
    return agent


def pair(
    case: str,
    then: Callable[[Any, Any], Any] | None = None,
    at: int = 0,
    horizon: int = STEPS,
) -> tuple[Any, Any]:
    """An agent trained on a CPU, and one by captured graphs."""
    plain = start(case, horizon)
    with emulated():  # from here on both act by graphs
        device = start(case, horizon)
        trained(plain)
        EmulatedGraph.launched = 0
        return plain, trained(device, then, at)


def check(case: str, horizon: int) -> None:
    plain, device = pair(case, horizon=horizon)
    assert device.updates.whole
    assert EmulatedGraph.launched > horizon / 2
    assert plain.learner.optimizer.updates > 15
    assert_same(plain, device)


def assert_same(plain: Any, device: Any) -> None:
    if getattr(device.config, "prioritized", False):  # sums of priorities round otherwise
        assert_close(plain.state(), device.state())
    else:
        assert differences(plain.state(), device.state()) == []


def assert_close(one: Any, other: Any) -> None:
    left, right = dict(flat(one)), dict(flat(other))
    assert left.keys() == right.keys()
    for path in left:
        if isinstance(left[path], np.ndarray | float):
            np.testing.assert_allclose(left[path], right[path], 1e-4, 1e-5, err_msg=path)
        else:
            assert left[path] == right[path], path


@pytest.mark.parametrize("case", QUICK)
def test_the_same_bits(case: str) -> None:
    """Weights, moments, targets, memories, streams and metrics after the same steps."""
    check(case, STEPS)


LONG = ["dqn lstm", "td3 lstm", "dqn frames", "td3 frames", "ppo lstm", "pqn gru", "a2c gru"]
IN_CI = [*QUICK, "td3 lstm", "dqn frames", "ppo lstm", "pqn gru"]


@pytest.mark.slow
@pytest.mark.parametrize("case", sampled([*QUICK, *LONG], IN_CI))
def test_the_same_bits_after_hundreds_of_steps(case: str) -> None:
    check(case, 300)


@pytest.mark.slow
@pytest.mark.parametrize("case", ["rainbow", "iqn gru"])
def test_prioritized_replay_within_rounding(case: str) -> None:
    """The same draws and actions; weights within 1e-4 of themselves, or 1e-5."""
    check(case, 140)


def baked_rate(self: Updates, value: Callable[[], float]) -> float:
    return value()


def baked_count(self: Adam, learning_rate: Any) -> None:
    self._count.fill_(self.updates + 1)
    count = self._count
    self._count = count.clone().fill_(self.updates)
    step(self, learning_rate)
    self._count = count


step = Adam.step


@pytest.mark.parametrize("what", ["rate", "count", "draws"])
def test_numbers_of_python_are_noticed(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control: a rate, a count of steps or a place in a block that is no memory."""
    plain = start("sac")
    if what == "rate":
        monkeypatch.setattr(Updates, "number", baked_rate)
    with emulated():
        device = start("sac")
        if what == "count":
            monkeypatch.setattr(Adam, "step", baked_count)
        elif what == "draws":
            draws = device.learning_noise
            draws.next = lambda: draws.packet.tensors["block"][:, draws.stream.position]
        trained(device)
    monkeypatch.setattr(Adam, "step", step)
    with emulated():
        trained(plain)
    assert "/learner/weights" in differences(plain.state(), device.state())


RESUMED = ["dqn number", "ppo box", "iqn gru"]


@pytest.mark.parametrize("case", ["sac", *(pytest.param(c, marks=SLOW) for c in RESUMED)])
def test_stopped_and_resumed(case: str, tmp_path: Path) -> None:
    """Saved in the middle of a block of draws, and taken up by another agent."""

    def resume(agent: Any, lanes: Any) -> Any:
        state = checkpoint.load(checkpoint.save(tmp_path / "state.npz", agent.state()))
        another = start(case)
        another.restore(state)
        return another

    plain, device = pair(case, resume, 26)
    assert device.updates.whole
    assert_same(plain, device)


CUT = ["dqn lstm", "ppo lstm", "pqn gru"]


@pytest.mark.parametrize("case", ["sac", *(pytest.param(c, marks=SLOW) for c in CUT)])
def test_a_seed_cut_out(case: str) -> None:
    """The others go on by new graphs, as if it had been there."""

    def cut(agent: Any, lanes: Any) -> None:
        agent.keep_seeds([2, 0])
        lanes.keep_seeds([2, 0])

    plain, device = pair(case, cut, 26)
    assert device.seeds == (6, 4)
    for seed in device.seeds:
        assert differences(state_of(plain, seed), state_of(device, seed)) == []


def test_what_cannot_be_captured_is_called(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """An update that reads a value goes on uncaptured, with a warning, and learns the same."""

    def refuse(function: Any, device: Any) -> Any:
        raise RuntimeError("operation not permitted when stream is capturing\nand more")

    plain = start("sac")
    with emulated():
        monkeypatch.setattr(graphs, "capture", refuse)
        device = start("sac")
        trained(device)
        trained(plain)
    lines = {record.getMessage() for record in caplog.records}
    assert lines == {
        "work is not captured, which is slower: operation not permitted when stream is capturing"
    }
    assert differences(plain.state(), device.state()) == []


def test_a_users_agent_is_not_captured() -> None:
    """It may read what changes: its gradients alone are captured, which is checked as they go."""
    own = type("Own", (SAC,), {"__module__": "elsewhere"})
    with emulated():
        ours, theirs = (make(kind, partial(World, "vector", "box6")) for kind in (SAC, own))
    assert ours.updates.whole
    assert not theirs.updates.whole
    assert not theirs.critic_learner.whole
