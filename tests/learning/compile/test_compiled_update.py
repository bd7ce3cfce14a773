"""Recorded updates: the same bits as autograd's, for every agent, and what is refused."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from agent_cases import CASES
from lockstep import differences, make, rows_of
from sampled import sampled
from torch import Tensor
from torch.fx.experimental.proxy_tensor import make_fx
from worlds import World

from rlbench.agents import DQN, PPO, SAC
from rlbench.learning.compile import compiled_update, dense_kernels
from rlbench.learning.compile.compiled_update import CompiledUpdate
from rlbench.learning.compile.trace import UpdateTrace
from rlbench.learning.equations import losses

SEEDS, STEPS = (4, 5, 6), 90
MORE: dict[str, tuple[Any, Any, dict[str, Any]]] = {
    "ppo clip": (PPO, World, {"clip_schedule": "linear", "clip_range_vf": 0.2, "n_envs": 3,
                              "n_steps": 7, "batch_size": 8, "lr_schedule": "linear"}),
    "dqn plain": (DQN, World, {"net_arch": (8, 8), "learning_starts": 10, "buffer_size": 40,
                               "batch_size": 8, "activation": "tanh", "layer_norm": True}),
    "dqn images": (DQN, partial(World, "large"), {"learning_starts": 10, "buffer_size": 40,
                                                  "batch_size": 4, "dueling": True, "gamma": 0.0}),
    "dqn number": (DQN, partial(World, "number"), {"learning_starts": 10, "buffer_size": 40,
                                                   "batch_size": 8}),
    "ppo mixed": (PPO, partial(World, "mixed"), {"n_envs": 2, "n_steps": 8, "batch_size": 8}),
    "sac fixed": (SAC, partial(World, "vector", "box"),
                  {"learning_starts": 10, "buffer_size": 40, "batch_size": 8, "ent_coef": 0.1}),
}  # fmt: skip
EVERY = {**{k: v for k, v in CASES.items() if "dropout" not in k}, **MORE}


def learned(
    case: str, record: bool, monkeypatch: pytest.MonkeyPatch, seeds: tuple[int, ...] = SEEDS
) -> tuple[Any, list[Any]]:
    monkeypatch.setattr(compiled_update, "warmed_up", lambda *_: record)
    kind, env, parameters = EVERY[case]
    known = kind.Config.model_fields
    given = {k: v for k, v in parameters.items() if k in known or k == "n_envs"}
    agent = make(kind, env, seeds, hidden_size=4, **given)
    rows: list[Any] = []
    agent.learn(STEPS, callback=rows.append, eval_freq=45, eval_episodes=2)
    return agent, rows


def recordings(agent: Any) -> int:
    learners = [agent.learner, getattr(agent, "critic_learner", agent.learner)]
    return sum(len(p.recordings) for learner in learners for p in learner.programs.values())


@pytest.mark.parametrize("case", EVERY)
def test_the_same_bits(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """State and rows of an agent whose updates are recorded from the second on, and of one whose
    are not; schedules, noise and fractions change from update to update."""
    recorded, rows = learned(case, True, monkeypatch)
    eager, its_rows = learned(case, False, monkeypatch)
    assert recordings(recorded) > 0
    assert recordings(eager) == 0
    assert recorded.learner.optimizer.updates > 3
    assert differences(recorded.state(), eager.state()) == []
    for seed in SEEDS:
        assert rows_of(rows, seed) == rows_of(its_rows, seed)


@pytest.mark.parametrize("case", ["ppo lstm", "ppo clip", "rainbow", "dqn plain", "sac", "a2c gru"])
def test_a_seed_alone(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Recorded alone and recorded in company, a seed has the same rows."""
    _, together = learned(case, True, monkeypatch)
    _, alone = learned(case, True, monkeypatch, SEEDS[1:2])
    assert rows_of(together, SEEDS[1]) == rows_of(alone, SEEDS[1])


# Slower ones that `test_fake_gpu.py` finds to read no value, too.
WALKED = {"a2c gru", "dqn frames", "dqn lstm", "iqn gru", "ppo lstm", "pqn gru", "rainbow", "sac",
          "td3 frames", "td3 lstm"}  # fmt: skip


@pytest.mark.parametrize("case", sampled(list(EVERY), EVERY.keys() - WALKED))
def test_no_value_is_read(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every update passes over tensors without values: it has no `.item()`, no `.numpy()`, and no
    branch on a tensor, which would each make a GPU wait."""
    given: dict[Any, Any] = {}
    monkeypatch.setattr(CompiledUpdate, "__call__", lambda self, **t: _keep(given, self, t))
    learned(case, False, monkeypatch)
    assert len(given) == (2 if case.startswith(("sac", "td3", "tqc", "crossq")) else 1)
    for function, tensors in given.items():
        assert walked(function, tensors) > 20


def test_classification_reads_no_value() -> None:
    given = {"x": torch.ones(2, 3, 4), "label": torch.zeros(2, 3, dtype=torch.int64)}
    for loss in losses.CLASSIFICATION.values():
        assert walked(lambda x, label, loss=loss: {"loss": loss(x, label)}, given) > 3


def _keep(given: dict[Any, Any], program: CompiledUpdate, tensors: dict[str, Tensor]) -> Any:
    given[program.function] = {name: tensor.clone() for name, tensor in tensors.items()}
    return program.function(**tensors)


def walked(function: Any, tensors: dict[str, Tensor]) -> int:
    """Kernels that a function calls, found with tensors that have a shape and no values."""

    def ordered(*values: Tensor) -> list[Tensor]:
        return list(function(**dict(zip(tensors, values, strict=True))).values())

    walk = make_fx(ordered, tracing_mode="fake", _allow_non_fake_inputs=True)
    with dense_kernels.torch_kernels_only():  # as on a GPU
        nodes = walk(*tensors.values()).graph.nodes
    if any("_local_scalar_dense" in str(node.target) for node in nodes):
        raise RuntimeError("data-dependent: .item()")
    return len(nodes)


@pytest.mark.parametrize(
    "read",
    [
        lambda x: x * x.sum().item(),
        lambda x: x + torch.from_numpy(x.detach().numpy()),
        lambda x: x if x.sum() > 0 else -x,
    ],
)
def test_a_value_that_is_read_is_found(read: Any) -> None:
    """The control: the walk above fails at each of these."""
    with pytest.raises(Exception, match=r"(?i)data-dependent|data dependent|numpy|Fake"):
        walked(lambda x: {"y": read(x)}, {"x": torch.ones(3)})


@pytest.mark.parametrize("parameters", [{"dropout": 0.3}, {"encoder": "worlds:Dropping"}])
def test_what_draws_is_not_recorded(
    parameters: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A recording would repeat the first draw for ever."""
    monkeypatch.setattr(compiled_update, "warmed_up", lambda *_: True)
    agent = make(DQN, World, SEEDS, learning_starts=10, buffer_size=40, batch_size=8, **parameters)
    agent.learn(STEPS)
    assert agent.learner.optimizer.updates > 3
    assert recordings(agent) == 0


def test_every_kernel() -> None:
    """Views of constants, writes to them, numbers, lists, infinities and results by index."""
    rng = np.random.default_rng(0)

    def normal() -> Tensor:
        return torch.from_numpy(rng.standard_normal((3, 4, 4)).astype(np.float32))

    weight, total = normal(), torch.zeros(3, 4)

    def function(x: Tensor, index: Tensor) -> dict[str, Tensor]:
        y = torch.baddbmm(weight[:, :1], x, weight.mT).clamp(-float("inf"), 0.5)
        best, where = y.max(-1)
        total.copy_(best)
        return {"sum": torch.cat([y, y[:, index]], 1).sum((1, 2)), "where": where, "x": x}

    program, x, index = CompiledUpdate(function), normal(), torch.tensor([2, 0])
    program.calls, program.seconds = compiled_update.CALLS, compiled_update.SECONDS
    for _ in range(3):
        total.zero_()
        told = program(x=x, index=index)
        mine = total.clone()
        total.zero_()
        expected = function(x, index)
        assert torch.equal(mine, total)
        assert list(told) == list(expected)
        assert all(torch.equal(told[name], expected[name]) for name in told)
        x, index = normal(), torch.tensor([1, 3])
    assert len(program.recordings) == 1
    program(x=x, index=torch.tensor([1, 3, 0]))
    assert len(program.recordings) == 2


def test_what_cannot_be_recorded_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    """With one line that says so; compiling, which was asked for, is an error."""

    def function(x: Tensor) -> dict[str, Tensor]:
        return {"y": x if x.sum() > 0 else -x}

    program, x = CompiledUpdate(function), torch.ones(2)
    program.calls, program.seconds = compiled_update.CALLS, compiled_update.SECONDS
    assert torch.equal(program(x=x)["y"], x)
    assert torch.equal(program(x=-x)["y"], x)
    said = [record.levelname for record in caplog.records if record.name == "rlbench"]
    assert said == ["WARNING"]
    with pytest.raises(RuntimeError):
        CompiledUpdate(function, compiled=True)(x=x)


def test_constants_of_a_call_are_refused() -> None:
    """What a function makes of arrays would be the same for ever."""
    numbers = [1.0]

    def frozen(x: Tensor) -> dict[str, Tensor]:
        return {"y": x * torch.from_numpy(np.array(numbers))}

    with pytest.raises(RuntimeError, match="two calls differ: another tensor of shape \\(1,\\)"):
        UpdateTrace(frozen, {"x": torch.ones(2)})


def test_a_branch_on_a_tensor_is_refused() -> None:
    """It would be taken the same way for ever."""
    with pytest.raises(RuntimeError, match="the value of a tensor is read"):
        UpdateTrace(lambda x: {"y": x * 2 if x.sum() > 0 else x}, {"x": torch.ones(2)})
