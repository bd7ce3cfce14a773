"""TQC against naive updates of one seed, written from the paper; DDPG as what TD3 becomes."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from continuous import SEEDS, filled
from test_off_policy_actor_critic_updates import UPDATES, Oracle, replayed
from torch import Tensor

from rlbench.agents import DDPG, TD3, TQC
from rlbench.errors import UserError

QUANTILES, DROPPED = 6, 2


def quantile_loss(quantiles: Tensor, targets: Tensor) -> Tensor:
    """Equation 8: mean over quantiles and targets, in loops."""
    total = torch.zeros((), dtype=torch.float64)
    count = quantiles.shape[1]
    for i in range(count):
        fraction = (2 * i + 1) / (2 * count)
        u = targets - quantiles[:, i : i + 1]
        huber = torch.where(u.abs() < 1.0, 0.5 * u.square(), u.abs() - 0.5)
        total = total + ((fraction - (u.detach() < 0).double()).abs() * huber).mean()
    return total / count


class TruncatedOracle(Oracle):
    """SAC's oracle with quantile critics."""

    dropped = DROPPED

    def tqc(self, batch: dict[str, Tensor], normal: Tensor) -> None:
        alpha = self.log_alpha.exp().item()
        action, log_prob = self.draw(batch["obs"], normal[0])
        following, its = self.draw(batch["next_obs"], normal[1])
        atoms = torch.cat([target(batch["next_obs"], following) for target in self.targets], 1)
        kept = atoms.sort(1).values[:, : len(self.targets) * (QUANTILES - self.dropped)]
        discount = self.c.gamma * (1.0 - batch["terminated"])[:, None]
        targets = batch["reward"][:, None] + discount * (kept - alpha * its[:, None])
        inputs = batch["obs"], batch["action"]
        losses = [quantile_loss(critic(*inputs), targets.detach()) for critic in self.critics]
        self.descend(self.of_critics, losses[0] + losses[1])
        values = torch.cat([critic(batch["obs"], action) for critic in self.critics], 1).mean(1)
        self.descend(self.of_actor, (alpha * log_prob - values).mean())
        goal = -batch["action"].shape[-1]
        self.descend(self.of_alpha, -(self.log_alpha * (log_prob.detach() + goal)).mean())
        for target, critic in zip(self.targets, self.critics, strict=True):
            target.follow(critic, self.c.tau)


def against_the_oracle(dropped: int = DROPPED) -> list[bool]:
    agent = filled(TQC, n_quantiles=QUANTILES, top_quantiles_to_drop=DROPPED)
    oracles = [TruncatedOracle(agent, row) for row in range(len(SEEDS))]
    for _ in range(UPDATES):
        batch, normal = replayed(agent)
        agent.update()
        for row, oracle in enumerate(oracles):
            oracle.dropped = dropped
            oracle.tqc({key: value[row] for key, value in batch.items()}, normal[row])
    return [oracle.agrees(agent, row) for row, oracle in enumerate(oracles)]


def test_updates_are_those_of_the_paper() -> None:
    assert against_the_oracle() == [True, True]


def test_other_truncation_would_be_noticed() -> None:
    assert against_the_oracle(dropped=1) == [False, False]


@pytest.mark.parametrize("encoder", ["mlp", "lstm"])
@pytest.mark.parametrize("n_steps", [1, 3])
def test_one_quantile_targets_are_those_of_values(encoder: str, n_steps: int) -> None:
    """Targets of M equal values are M times the target of that value."""
    sequences: dict[str, Any] = {"encoder": encoder, "hidden_size": 4, "sequence_length": 4}
    agent = filled(TQC, n_steps=n_steps, **sequences)
    view = agent.replayed(**agent.replay.sample())
    items = view.targets(torch.zeros(2, 12)) if encoder == "mlp" else None
    shape = (2, 12) if items is not None else view.targets(
        torch.zeros(2, view.reward.shape[1] * view.reward.shape[2])
    ).shape  # fmt: skip
    values = torch.arange(float(torch.tensor(shape).prod())).view(*shape)
    once = view.targets(values)
    thrice = view.targets(torch.stack([values, values, 2 * values], -1))
    assert thrice.shape == (*shape, 3)
    assert torch.equal(thrice[..., 0], once)
    assert torch.equal(thrice[..., 1], once)
    assert torch.equal(thrice[..., 2], view.targets(2 * values))


@pytest.mark.parametrize("encoder", ["mlp", "gru"])
def test_seeds_learn_alike_alone_and_in_company(encoder: str) -> None:
    sequences = {"encoder": encoder, "hidden_size": 4, "sequence_length": 4, "burn_in": 1}
    settings: dict[str, Any] = {**sequences, "n_critics": 3, "learning_starts": 10}

    def rows(seeds: tuple[int, ...], record: bool = True) -> Tensor:
        agent = filled(TQC, seeds=seeds, record=record, **settings)
        return torch.cat([agent.learner.stack.data, agent.critic_learner.stack.data.view(
            len(seeds), -1)], 1)  # fmt: skip

    both = rows((3, 7))
    assert torch.equal(rows((7,))[0], both[1])
    assert torch.equal(rows((7,), record=False)[0], both[1])
    assert not torch.equal(both[0], both[1])


def test_truncation_leaves_a_target() -> None:
    with pytest.raises(
        UserError, match=r"top_quantiles_to_drop .25. must be less than n_quantiles"
    ):
        TQC("Pendulum-v1", top_quantiles_to_drop=25)


def test_ddpg_is_td3_without_its_three_changes() -> None:
    changes: dict[str, Any] = {"n_critics": 1, "policy_delay": 1, "target_policy_noise": 0.0}
    ddpg = filled(DDPG, learning_starts=10)
    td3 = filled(TD3, learning_starts=10, **changes)
    assert torch.equal(ddpg.learner.stack.data, td3.learner.stack.data)
    usual = filled(TD3, learning_starts=10)
    assert not torch.equal(ddpg.learner.stack.data, usual.learner.stack.data)
