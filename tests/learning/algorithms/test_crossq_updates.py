"""CrossQ against naive updates of one seed, written from the papers, and what it keeps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from continuous import SEEDS, filled
from test_off_policy_actor_critic_updates import Oracle, replayed
from torch import Tensor

from rlbench.agents import CrossQ
from rlbench.errors import UserError
from rlbench.learning.networks.batch_norm import BatchRenorm
from rlbench.learning.optim.learner import Learner

UPDATES, DELAY, WARM_UP = 9, 3, 2  # updates of the critics; of a network before it renormalises


class Renormalised:
    """A network of one seed in double precision, each of whose layers has a normalised input."""

    def __init__(self, network: Any, index: int) -> None:
        stacks = [network.encoder.mlp, network.head]
        layers = [layer for stack in stacks for layer in stack.layers]
        norms = [norm for stack in stacks for norm in stack.inputs]

        def copied(parts: list[Any], name: str) -> list[Tensor]:
            return [getattr(each, name)[index].detach().double().clone() for each in parts]

        self.weights, self.biases = copied(layers, "weight"), copied(layers, "bias")
        self.gains, self.shifts = copied(norms, "gain"), copied(norms, "bias")
        self.means, self.variances = copied(norms, "mean"), copied(norms, "variance")
        self.passes = 0  # that moved the running statistics
        for part in self.learned():
            part.requires_grad_()

    def learned(self) -> list[Tensor]:
        return [*self.weights, *self.biases, *self.gains, *self.shifts]

    def __call__(self, *inputs: Tensor, learning: bool = False) -> Tensor:
        x = torch.cat(inputs, -1)
        for i, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            x = self.normal(x, i, learning) * self.gains[i] + self.shifts[i]
            x = x @ weight + bias
            x = x.tanh() if i < len(self.weights) - 1 else x
        self.passes += learning
        return x

    def normal(self, x: Tensor, i: int, learning: bool) -> Tensor:
        """Algorithm 1 of Ioffe 2017, with running averages of the variance."""
        running = (self.variances[i] + 1e-3).sqrt()
        if not learning:
            return (x - self.means[i]) / running
        mean, variance = x.mean(0), x.var(0, correction=0)
        deviation = (variance + 1e-3).sqrt()
        y = (x - mean) / deviation
        if self.passes >= WARM_UP:
            r = (deviation / running).detach().clamp(1 / 3, 3)
            d = ((mean - self.means[i]) / running).detach().clamp(-5, 5)
            y = y * r + d
        self.means[i] = (0.99 * self.means[i] + 0.01 * mean).detach()
        self.variances[i] = (0.99 * self.variances[i] + 0.01 * variance).detach()
        return y

    def equals(self, other: Renormalised) -> bool:
        mine = [*self.learned(), *self.means, *self.variances]
        its = [*other.learned(), *other.means, *other.variances]
        pairs = zip(mine, its, strict=True)
        return all(torch.allclose(a.flatten(), b.flatten(), atol=2e-5) for a, b in pairs)


class CrossOracle(Oracle):
    """SAC's oracle without targets; `apart` values both batches by statistics of their own."""

    def __init__(self, agent: Any, row: int, apart: bool = False) -> None:
        self.c, self.apart = agent.config, apart
        self.actor: Any = Renormalised(agent.actor, row)
        self.critics: list[Any] = [Renormalised(agent.critics, 2 * row + i) for i in range(2)]
        self.log_alpha = torch.zeros((), dtype=torch.float64, requires_grad=True)
        rate, betas = self.c.learning_rate, (0.5, 0.999)
        self.of_actor = torch.optim.Adam(self.actor.learned(), rate, betas)
        of_critics = [part for critic in self.critics for part in critic.learned()]
        self.of_critics = torch.optim.Adam(of_critics, rate, betas)
        self.of_alpha = torch.optim.Adam([self.log_alpha], rate)

    def joint(self, critic: Any, these: tuple[Tensor, ...], those: tuple[Tensor, ...]) -> Any:
        if self.apart:
            return critic(*these, learning=True)[:, 0], critic(*those)[:, 0]
        both = (torch.cat(pair) for pair in zip(these, those, strict=True))
        return critic(*both, learning=True)[:, 0].chunk(2)

    def crossq(self, batch: dict[str, Tensor], normal: Tensor, number: int) -> None:
        alpha = self.log_alpha.exp().item()
        following, its = self.draw(batch["next_obs"], normal[1])
        these, those = (batch["obs"], batch["action"]), (batch["next_obs"], following.detach())
        values, nexts = zip(*(self.joint(each, these, those) for each in self.critics), strict=True)
        value = torch.minimum(*nexts) - alpha * its
        target = (batch["reward"] + self.c.gamma * (1.0 - batch["terminated"]) * value).detach()
        losses = [(value - target).square().mean() for value in values]
        self.descend(self.of_critics, 0.5 * (losses[0] + losses[1]))
        if number % DELAY:
            return
        plain = self.actor
        self.actor = lambda obs: plain(obs, learning=True)
        action, log_prob = self.draw(batch["obs"], normal[0])
        self.actor = plain
        values = tuple(critic(batch["obs"], action)[:, 0] for critic in self.critics)
        self.descend(self.of_actor, (alpha * log_prob - torch.minimum(*values)).mean())
        goal = -batch["action"].shape[-1]
        self.descend(self.of_alpha, -(self.log_alpha * (log_prob.detach() + goal)).mean())

    def agrees(self, agent: Any, row: int) -> bool:
        pairs = [(Renormalised(agent.actor, row), self.actor)]
        pairs += [(Renormalised(agent.critics, 2 * row + i), self.critics[i]) for i in range(2)]
        alpha = agent.temperature.log[row, 0].double()
        same = torch.isclose(alpha, self.log_alpha, rtol=0.0, atol=1e-6)
        return all(mine.equals(its) for mine, its in pairs) and bool(same)


def learner(**parameters: Any) -> Any:
    return filled(CrossQ, **{"tau": None, "renorm_warmup_steps": WARM_UP, **parameters})


@pytest.mark.parametrize("apart", [False, True])
def test_updates_are_those_of_the_paper(apart: bool) -> None:
    """With the negative control of batches that are not joined."""
    agent = learner()
    oracles = [CrossOracle(agent, row, apart) for row in range(len(SEEDS))]
    for number in range(1, UPDATES + 1):
        batch, normal = replayed(agent)
        agent.update()
        for row, oracle in enumerate(oracles):
            oracle.crossq({key: value[row] for key, value in batch.items()}, normal[row], number)
    assert oracles[0].actor.passes == UPDATES // DELAY > WARM_UP
    agreed = [oracle.agrees(agent, row) for row, oracle in enumerate(oracles)]
    assert agreed == [not apart] * len(SEEDS)


def weights(agent: Any) -> Tensor:
    critics = agent.critic_learner.stack.data.view(len(agent.seeds), -1)
    return torch.cat([agent.learner.stack.data, critics], 1)


def test_statistics_are_of_the_seeds_own_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Alone and in company, recorded and not, before and after the warm-up, to the last bit."""
    monkeypatch.setattr(Learner, "warm_up", False)
    settings: dict[str, Any] = {"learning_starts": 10, "steps": 80, "renorm_warmup_steps": 12}
    both, alone = learner(**settings), learner(seeds=(7,), **settings)
    assert all(p.recordings for each in both.learners() for p in each.programs.values())
    assert torch.equal(weights(alone)[0], weights(both)[1])
    assert torch.equal(weights(learner(seeds=(7,), record=False, **settings))[0], weights(both)[1])
    assert not torch.equal(weights(both)[0], weights(both)[1])


@pytest.mark.parametrize("layer_norm", [False, True])
def test_running_statistics_act_and_are_saved(tmp_path: Path, layer_norm: bool) -> None:
    agent = learner(learning_starts=10, seeds=(3,), layer_norm=layer_norm)
    obs = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    action = agent.policy().predict(obs, deterministic=True)[0]
    loaded = CrossQ.load(agent.save(tmp_path / "agent.npz"))
    assert torch.equal(weights(loaded), weights(agent))
    assert np.array_equal(loaded.policy().predict(obs, deterministic=True)[0], action)
    plain = agent.to_torch()
    assert np.allclose(plain(torch.from_numpy(obs))[0].numpy(), action, atol=1e-5)
    for module in agent.actor.modules():
        if isinstance(module, BatchRenorm):
            module.mean.data += 0.5
    assert not np.allclose(agent.policy().predict(obs, deterministic=True)[0], action, atol=1e-3)


def test_there_are_no_targets_and_critics_have_widths_of_their_own() -> None:
    agent = learner(critic_arch=(5,))
    assert agent.parts()["target"] is None
    assert [layer.weight.shape[-1] for layer in agent.critics.encoder.mlp.layers] == [5]
    assert [layer.weight.shape[-1] for layer in agent.actor.encoder.mlp.layers] == [9, 8]
    spaces = agent.spec, agent.action_space, 2, 1
    narrow = CrossQ.estimate_bytes(agent.config, *spaces)["networks"]
    wide = agent.config.model_copy(update={"critic_arch": (500, 500)})
    assert CrossQ.estimate_bytes(wide, *spaces)["networks"] > 50 * narrow


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"encoder": "lstm"}, r"crossq has no memory.*Leave lstm out, or run sac"),
        ({"weight_decay": 0.1}, r"weight_decay would move the running statistics.*set it to 0"),
        ({"tau": 0.1}, r"tau=0.1"),
    ],
)
def test_what_it_lacks_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        CrossQ("Pendulum-v1", **given)
