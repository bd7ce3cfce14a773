"""SAC and TD3 against naive updates of one seed, written from the papers."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from continuous import SEEDS, filled
from torch import Tensor
from torch import distributions as td

from rlbench.agents import SAC, TD3

UPDATES = 5


class Naive:
    """One network of one seed, in double precision: `critic` is None for the actor's."""

    def __init__(self, network: Any, index: int) -> None:
        layers = [*network.encoder.mlp.layers, *network.head.layers]
        self.weights = [layer.weight[index].detach().double().clone() for layer in layers]
        self.biases = [layer.bias[index, 0].detach().double().clone() for layer in layers]
        for part in self.parameters():
            part.requires_grad_()

    def parameters(self) -> list[Tensor]:
        return [*self.weights, *self.biases]

    def __call__(self, *inputs: Tensor) -> Tensor:
        x = torch.cat(inputs, -1)
        for i, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            x = x @ weight + bias
            x = x.tanh() if i < len(self.weights) - 1 else x
        return x

    def follow(self, online: Naive, tau: float) -> None:
        with torch.no_grad():
            for mine, its in zip(self.parameters(), online.parameters(), strict=True):
                mine.copy_((1.0 - tau) * mine + tau * its)

    def equals(self, other: Naive) -> bool:
        pairs = zip(self.parameters(), other.parameters(), strict=True)
        return all(torch.allclose(a, b, rtol=0.0, atol=1e-5) for a, b in pairs)


class Oracle:
    """One seed's actor, critics, targets and temperature."""

    def __init__(self, agent: Any, row: int) -> None:
        self.c = agent.config
        self.actor = Naive(agent.actor, row)
        self.critics = [Naive(agent.critics, 2 * row + i) for i in range(2)]
        self.targets = [Naive(agent.critics_target, 2 * row + i) for i in range(2)]
        self.target_actor = Naive(agent.actor, row)
        self.log_alpha = torch.zeros((), dtype=torch.float64, requires_grad=True)
        adam = partial(torch.optim.Adam, lr=self.c.learning_rate)
        self.of_actor = adam(self.actor.parameters())
        self.of_critics = adam([p for critic in self.critics for p in critic.parameters()])
        self.of_alpha = adam([self.log_alpha])

    def draw(self, obs: Tensor, normal: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_std = self.actor(obs).chunk(2, -1)
        gaussian = td.Normal(mean, log_std.exp())
        u = mean + log_std.exp() * normal
        log_prob = gaussian.log_prob(u) - torch.log(1.0 - torch.tanh(u) ** 2)
        return torch.tanh(u), log_prob.sum(-1)

    def descend(self, optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    def learn_critics(self, batch: dict[str, Tensor], value: Tensor) -> None:
        target = (batch["reward"] + self.c.gamma * (1.0 - batch["terminated"]) * value).detach()
        errors = [
            (critic(batch["obs"], batch["action"])[:, 0] - target).square().mean()
            for critic in self.critics
        ]
        self.descend(self.of_critics, 0.5 * (errors[0] + errors[1]))

    def sac(self, batch: dict[str, Tensor], normal: Tensor, number: int) -> None:
        alpha = self.log_alpha.exp().item()
        action, log_prob = self.draw(batch["obs"], normal[0])
        following, its = self.draw(batch["next_obs"], normal[1])
        values = [target(batch["next_obs"], following)[:, 0] for target in self.targets]
        self.learn_critics(batch, torch.minimum(*values) - alpha * its)
        values = [critic(batch["obs"], action)[:, 0] for critic in self.critics]
        self.descend(self.of_actor, (alpha * log_prob - torch.minimum(*values)).mean())
        goal = -batch["action"].shape[-1]
        self.descend(self.of_alpha, -(self.log_alpha * (log_prob.detach() + goal)).mean())
        for target, critic in zip(self.targets, self.critics, strict=True):
            target.follow(critic, self.c.tau)

    def td3(self, batch: dict[str, Tensor], normal: Tensor, number: int) -> None:
        noise = (self.c.target_policy_noise * normal[0]).clamp(-0.5, 0.5)
        following = (self.target_actor(batch["next_obs"]).tanh() + noise).clamp(-1.0, 1.0)
        values = [target(batch["next_obs"], following)[:, 0] for target in self.targets]
        self.learn_critics(batch, torch.minimum(*values))
        if number % 2:
            return
        action = self.actor(batch["obs"]).tanh()
        self.descend(self.of_actor, -self.critics[0](batch["obs"], action).mean())
        self.target_actor.follow(self.actor, self.c.tau)
        for target, critic in zip(self.targets, self.critics, strict=True):
            target.follow(critic, self.c.tau)

    def agrees(self, agent: Any, row: int) -> bool:
        """Whether the agent's networks of this row are these."""
        pairs = [(Naive(agent.actor, row), self.actor)]
        for i in range(2):
            pairs.append((Naive(agent.critics, 2 * row + i), self.critics[i]))
            pairs.append((Naive(agent.critics_target, 2 * row + i), self.targets[i]))
        if isinstance(agent, TD3):
            pairs.append((Naive(agent.actor_target, row), self.target_actor))
            return all(mine.equals(its) for mine, its in pairs)
        alpha = agent.temperature.log[row, 0].double()
        return all(mine.equals(its) for mine, its in pairs) and bool(
            torch.isclose(alpha, self.log_alpha, rtol=0.0, atol=1e-6)
        )


def replayed(agent: Any) -> tuple[dict[str, Tensor], Tensor]:
    """What the next update is going to draw, and put back."""
    streams: Any = (agent.replay.uniforms, agent.learning_noise)
    before = [stream.state() for stream in streams]
    batch = {key: value.double().clone() for key, value in agent.replay.sample().items()}
    normal = torch.stack(agent.update_noise(), 1).double()
    for stream, state in zip(streams, before, strict=True):
        stream.restore(state)
    return batch, normal


def against_the_oracle(kind: Any, **spoiled: Any) -> list[bool]:
    """Whether each seed agrees after some updates; `spoiled` are settings of the oracle's own."""
    agent = filled(kind)
    oracles = [Oracle(agent, row) for row in range(len(SEEDS))]
    for oracle in oracles:
        oracle.c = oracle.c.model_copy(update=spoiled)
    for number in range(1, UPDATES + 1):
        batch, normal = replayed(agent)
        agent.update()
        for row, oracle in enumerate(oracles):
            own = {key: value[row] for key, value in batch.items()}
            getattr(oracle, kind.name())(own, normal[row], number)
    return [oracle.agrees(agent, row) for row, oracle in enumerate(oracles)]


@pytest.mark.parametrize("kind", [SAC, TD3])
def test_updates_are_those_of_the_paper(kind: Any) -> None:
    assert against_the_oracle(kind) == [True, True]


@pytest.mark.parametrize(
    ("kind", "spoiled"),
    [(SAC, {"gamma": 0.89}), (SAC, {"tau": 0.11}), (TD3, {"target_policy_noise": 0.0}),
     (TD3, {"tau": 0.11})],
)  # fmt: skip
def test_other_updates_would_be_noticed(kind: Any, spoiled: dict[str, Any]) -> None:
    """Negative control."""
    assert against_the_oracle(kind, **spoiled) == [False, False]
