"""DQN's switches together: each does what it says, and no two get in each other's way."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import combinations, product
from typing import Any

import numpy as np
import pytest
import torch
from lockstep import differences, rows_of, state_of, train
from probe_values import GAMMA, LEARNS, values
from probes import ChosenSeen, TwoSteps
from sampled import sampled
from torch import Tensor
from worlds import World

from rlbench.agents import DQN
from rlbench.learning.equations import losses
from rlbench.learning.networks.noisy import NoisyLinear
from rlbench.learning.training.schedule import TrainingSchedule

# One column a switch, its values from off to on.
SWITCHES: dict[str, list[Any]] = {
    "double": [False, True],
    "dueling": [False, True],
    "n_steps": [1, 3],
    "prioritized": [False, True],
    "noisy": [False, True],
    "distribution": [None, "c51", "qr", "iqn"],
    "encoder": ["mlp", "lstm", "cnn", "worlds:Dropping"],
    "frame_stack": [1, 2],
    "n_envs": [1, 3],
    "gamma": [0.9, 0.0],
    "normalize_obs": [False, True],
    "layer_norm": [False, True],
}
SMALL: dict[str, Any] = {
    "learning_starts": 12, "batch_size": 9, "buffer_size": 40, "sequence_length": 3, "burn_in": 2,
    "net_arch": (6,), "target_update_interval": 10, "hidden_size": 4, "n_atoms": 7, "v_min": -3.0,
    "v_max": 3.0, "n_quantiles": 5, "iqn_samples": 3, "iqn_target_samples": 4,
    "iqn_acting_samples": 5, "iqn_embedding": 7,
}  # fmt: skip
STEPS, PLAN = 30, TrainingSchedule(30, 15, 2, 2, log_points=10)
Row = dict[str, Any]


def refused(row: Row) -> bool:
    """The pairs that make no sense, and are told so."""
    later = row.get("gamma") == 0.0 and row.get("n_steps", 1) > 1
    pictures = row.get("encoder") == "cnn" and row.get("normalize_obs", False)
    return later or pictures


def covering() -> Iterator[Row]:
    """Few rows in which every pair of values comes up, found greedily."""
    left = {
        frozenset({(a, x), (b, y)})
        for (a, xs), (b, ys) in combinations(SWITCHES.items(), 2)
        for x, y in product(xs, ys)
        if not refused({a: x, b: y})
    }
    while left:
        row: Row = dict(sorted(min(left, key=lambda pair: sorted(map(str, pair)))))
        for name, options in SWITCHES.items():
            if name not in row:
                fits = [x for x in options if not refused({**row, name: x})]
                row[name] = max(
                    fits, key=lambda x: sum(pair <= set({**row, name: x}.items()) for pair in left)
                )
        left -= {pair for pair in left if pair <= set(row.items())}
        yield row


ROWS = list(covering())


def world(row: Row) -> Any:
    return partial(World, "image" if row.get("encoder") == "cnn" else "vector")


def name_of(row: Row) -> str:
    return " ".join(f"{k}={v}" for k, v in row.items() if v != SWITCHES[k][0]) or "plain"


def check(row: Row) -> None:
    """The seed in a stack equals the seed alone, in state, rows and frozen policy."""
    given = {"env": world(row), "steps": STEPS, "plan": PLAN, **SMALL, **row}
    together, rows = train(seeds=(11, 12, 13), **given)
    assert together.learner.optimizer.updates > 4
    assert torch.isfinite(together.learner.stack.data).all()
    alone, its_rows = train(seeds=(13,), **given)
    assert differences(state_of(together, 13), state_of(alone, 13)) == []
    assert rows_of(rows, 13) == rows_of(its_rows, 13)


@pytest.mark.parametrize("row", ROWS, ids=name_of)
def test_rows_in_which_every_pair_comes_up(row: Row) -> None:
    check(row)


def test_the_covering_is_one() -> None:
    assert len(ROWS) < 25
    for (a, xs), (b, ys) in combinations(SWITCHES.items(), 2):
        for x, y in product(xs, ys):
            there = any(row[a] == x and row[b] == y for row in ROWS)
            assert there != refused({a: x, b: y})


@pytest.mark.slow
@pytest.mark.parametrize(("a", "b"), list(combinations(SWITCHES, 2)))
def test_every_pair_alone(a: str, b: str) -> None:
    """Two switches on and all others off, or a refusal that says why."""
    for x, y in product(SWITCHES[a][1:], SWITCHES[b][1:]):
        row = {a: x, b: y}
        if not refused(row):
            check(row)


VARIANTS: dict[str, Row] = {
    "dueling": {"dueling": True},
    "prioritized": {"prioritized": True},
    "noisy": {"noisy": True},
    "c51": {"distribution": "c51", "n_atoms": 21, "v_min": -2.0, "v_max": 2.0},
    "qr": {"distribution": "qr", "n_quantiles": 5},
    "iqn": {"distribution": "iqn", "iqn_embedding": 16},
}
VARIANTS["rainbow"] = {
    "n_steps": 3, **VARIANTS["dueling"], **VARIANTS["prioritized"], **VARIANTS["noisy"],
    **VARIANTS["c51"],
}  # fmt: skip


def check_learning(variant: Row) -> None:
    """The discount is found, and the action that is right for what is seen, by every seed."""
    steps = 800 if variant.get("noisy") else 450  # noise makes the means slower to settle
    agent = DQN(TwoSteps, seeds=3, device="cpu", **{**LEARNS, **variant}).learn(steps)
    for obs, truth in {0.0: GAMMA, 1.0: 1.0}.items():
        np.testing.assert_allclose(values(agent, obs), truth, atol=0.12)
    agent = DQN(ChosenSeen, seeds=3, device="cpu", **{**LEARNS, **variant}).learn(450)
    for seed, (obs, action) in product(range(3), {1.0: 1, -1.0: 0}.items()):
        said = agent.policy(seed=seed).predict(np.full(1, obs, np.float32), deterministic=True)
        assert said[0] == action


@pytest.mark.parametrize("variant", ["dueling", "iqn", "rainbow"])
def test_variants_learn(variant: str) -> None:
    check_learning(VARIANTS[variant])


IN_CI = [  # rainbow has the first three and c51
    ("dueling", "qr"), ("prioritized", "iqn"), ("noisy", "iqn"), ("prioritized", "noisy"),
    ("qr", "rainbow"), ("iqn", "rainbow"),
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(("one", "other"), sampled(list(combinations(VARIANTS, 2)), IN_CI))
def test_every_pair_of_variants_learns(one: str, other: str) -> None:
    check_learning({**VARIANTS[other], **VARIANTS[one]})


def plain_loss(self: DQN, **batch: Tensor) -> tuple[Tensor, Tensor]:
    """Double DQN's loss and nothing else, as short as it can be said."""
    q = self.q.head.advantage.forward(self.q.encoder.static(batch["obs"]))
    with torch.no_grad():
        online = self.q.head.advantage.forward(self.q.encoder.static(batch["next_obs"]))
        target = self.q_target.head.advantage.forward(
            self.q_target.encoder.static(batch["next_obs"])
        )
        value = target.gather(-1, online.argmax(-1, keepdim=True))[..., 0]
    wanted = batch["reward"] + self.config.gamma * (1.0 - batch["terminated"]) * value
    loss = losses.huber(q.gather(-1, batch["action"][..., None])[..., 0], wanted)
    return loss, loss


def test_all_switches_off_are_plain_dqn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bit for bit; and none of the streams of the extensions are there."""
    agent, _ = train(World, 2, 60, **SMALL)
    assert agent.acting_noise is agent.learning_noise is agent.tau is None
    monkeypatch.setattr(DQN, "loss", plain_loss)
    plain, _ = train(World, 2, 60, **SMALL)
    assert agent.learner.optimizer.updates > 10
    assert differences(agent.state(), plain.state()) == []


@pytest.mark.parametrize("dueling", [False, True])
def test_the_right_action_is_learned_by_likelihood(dueling: bool) -> None:
    """Values are log-probabilities, on arrays too; the loss is that of the action taken."""
    learns = {**LEARNS, "gamma": 0.0, "loss": "cross_entropy"}
    agent = DQN(ChosenSeen, seeds=2, device="cpu", dueling=dueling, **learns)
    obs = torch.linspace(-1, 1, 10).view(2, 5, 1)
    with torch.no_grad():
        outputs = agent.q.forward(obs)
        np.testing.assert_allclose(outputs.exp().sum(-1), 1.0, rtol=1e-5)
        action = torch.tensor([[0, 1, 1, 0, 1]] * 2)
        reward = torch.tensor([[1.0, -1.0, 1.0, 0.0, 2.0]] * 2)
        loss, _ = agent.loss(obs, action, reward)
    on_arrays, _ = agent.q.act(obs.numpy(), np.zeros((2, 5, 0), np.float32), agent.device)
    np.testing.assert_allclose(on_arrays, outputs, rtol=1e-5)
    p = outputs.gather(-1, action[..., None])[..., 0].exp()
    np.testing.assert_allclose(loss, -torch.where(reward > 0, p, 1 - p).log(), rtol=1e-4)
    agent.learn(300)
    for seed, (seen, best) in product(range(2), {1.0: 1, -1.0: 0}.items()):
        said = agent.policy(seed=seed).predict(np.full(1, seen, np.float32), deterministic=True)
        assert said[0] == best


EVERYTHING: Row = {
    "dueling": True, "noisy": True, "prioritized": True, "n_steps": 2, "distribution": "iqn",
    "head_arch": (5,), **{k: v for k, v in SMALL.items() if k != "net_arch"}, "net_arch": (6, 6),
}  # fmt: skip


@pytest.mark.parametrize("distribution", ["c51", "qr", "iqn"])
def test_two_steps_move_every_parameter(distribution: str) -> None:
    """Means and deviations of noise, both streams of dueling heads, embeddings, cells."""
    row = {**EVERYTHING, "distribution": distribution, "encoder": "lstm", "learning_rate": 0.1}
    agent = DQN(World, seeds=2, device="cpu", **row)
    before = {name: p.detach().clone() for name, p in agent.q.named_parameters()}
    agent.learn(24)
    assert agent.learner.optimizer.updates >= 2
    found = {name: (p != before[name]).flatten(1).any(-1) for name, p in agent.q.named_parameters()}
    assert [name for name, moved in found.items() if not moved.all()] == []
    kinds = [type(module) for module in agent.q.modules()]
    assert kinds.count(NoisyLinear) == 2 + 2 * 2


def test_what_does_not_go_together_is_said() -> None:
    from rlbench.errors import UserError

    for row, said in (
        ({"gamma": 0.0, "n_steps": 2}, "no later rewards"),
        ({"v_min": 1.0, "v_max": 1.0}, "v_min=1 must be below v_max=1"),
        ({"prioritized_eps": 0}, "prioritized_eps=0"),
        ({"distribution": "c52"}, "distribution=c52"),
    ):
        with pytest.raises(UserError, match=said):
            DQN(World, **row)


@pytest.mark.parametrize(
    ("given", "reason", "names"),
    [
        ({"noisy": True}, "noisy", "exploration_initial_eps exploration_final_eps "
         "exploration_fraction"),
        ({}, "noisy=false", "noisy_sigma"),
        ({}, "prioritized=false", "prioritized_alpha prioritized_beta prioritized_eps"),
        ({}, "encoder=auto", "hidden_size num_layers memory_horizon sequence_length burn_in "
         "attention_window attention_heads"),
        ({"encoder": "gru"}, "encoder=gru", "attention_window attention_heads"),
        ({"encoder": "attention"}, "encoder=attention", "memory_horizon"),
        ({}, "distribution=none", "n_atoms v_min v_max n_quantiles kappa iqn_samples "
         "iqn_target_samples iqn_acting_samples iqn_embedding"),
        ({"distribution": "c51"}, "distribution=c51", "loss n_quantiles kappa iqn_samples "
         "iqn_target_samples iqn_acting_samples iqn_embedding"),
        ({"distribution": "qr"}, "distribution=qr", "loss n_atoms v_min v_max iqn_samples "
         "iqn_target_samples iqn_acting_samples iqn_embedding"),
        ({"distribution": "iqn"}, "distribution=iqn", "loss n_atoms v_min v_max n_quantiles"),
    ],
)  # fmt: skip
def test_what_holds_for_nothing(given: dict[str, Any], reason: str, names: str) -> None:
    unused = DQN.Config.build("dqn", given).unused()
    assert {name for name, why in unused.items() if why == reason} == set(names.split())
    assert unused.keys() <= DQN.Config.model_fields.keys()


def test_all_holds_where_all_is_on() -> None:
    """But for what noise replaces, what other distributions and encoders have, and hindsight."""
    on = {"noisy": True, "prioritized": True, "distribution": "iqn", "encoder": "gru"}
    reasons = set(DQN.Config.build("dqn", on).unused().values())
    assert reasons == {"noisy", "distribution=iqn", "encoder=gru", "her=false"}
