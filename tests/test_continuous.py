"""SAC and TD3 against naive updates of one seed, written from the papers; what each option does."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from commands import here
from probes import Stepped
from targets import Aim
from torch import Tensor
from torch import distributions as td
from worlds import World

from rlbench.agents import PPO, SAC, TD3
from rlbench.errors import UserError
from rlbench.learning import evaluate
from rlbench.learning.lanes import Lanes, SeedsBroken
from rlbench.learning.train import Plan, Trainer
from rlbench.rows import SeedEnded

SEEDS = (3, 7)
SETTINGS: dict[str, Any] = {
    "seeds": SEEDS, "device": "cpu", "net_arch": (9, 8), "activation": "tanh", "batch_size": 12,
    "learning_starts": 10**6, "buffer_size": 100, "learning_rate": 1e-3, "gamma": 0.9, "tau": 0.1,
}  # fmt: skip
UPDATES = 5


def filled(kind: Any, action: str = "box6", steps: int = 50, **parameters: Any) -> Any:
    """An agent that has seen so many steps and learned nothing."""
    agent = kind(partial(World, "vector", action), **{**SETTINGS, **parameters})
    agent.begin(10**7)
    lanes = agent.lanes()
    obs = lanes.reset()
    for _ in range(steps):
        agent.observe(lanes.step(agent.act(obs)))
        obs = lanes.obs
    lanes.close()
    return agent


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
    streams = (agent.replay.uniforms, agent.learning_noise)
    before = [stream.state() for stream in streams]
    batch = {key: value.double().clone() for key, value in agent.replay.sample().items()}
    normal = torch.stack(agent.normals(), 1).double()
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


@pytest.mark.parametrize("entropy", [-1.5, 0.4])
def test_the_temperature_reaches_its_entropy(entropy: float) -> None:
    """Of a policy that nothing else pulls at, by pushing its deviation down or up."""
    agent = SAC(
        Aim, seeds=2, device="cpu", net_arch=(16,), learning_rate=1e-2, target_entropy=entropy,
        batch_size=64, learning_starts=50, gamma=0.0,
    ).learn(800)  # fmt: skip
    found: Any = agent.metrics["train/entropy"]
    assert torch.allclose(found, torch.tensor(entropy), atol=0.35), found
    fixed = SAC(
        Aim, seeds=2, device="cpu", net_arch=(16,), learning_rate=1e-2, ent_coef=1.0,
        batch_size=64, learning_starts=50, gamma=0.0,
    ).learn(300)  # fmt: skip
    free: Any = fixed.metrics["train/entropy"]
    assert not torch.allclose(free, torch.tensor(entropy), atol=0.35)
    assert "train/ent_coef_loss" not in fixed.metrics


def configured(**values: Any) -> Any:
    return SAC.Config.build("sac", values)


def test_coefficients_are_read() -> None:
    assert configured(ent_coef="auto_0.1").first_coefficient() == pytest.approx(0.1)
    assert configured(ent_coef="0.2").ent_coef == 0.2
    assert configured(ent_coef=0.2).unused()["target_entropy"] == "ent_coef=0.2"
    for wrong in ("auto_", "auto_x", "automatic", 0.0, -1.0, True, "nan"):
        with pytest.raises(UserError, match="ent_coef"):
            SAC.Config.build("sac", {"ent_coef": wrong})
    with pytest.raises(UserError, match="target_entropy"):
        SAC.Config.build("sac", {"target_entropy": "much"})


def test_policies_and_targets_are_delayed() -> None:
    """TD3: every third update moves them, all others the critics alone."""
    agent = filled(TD3, policy_delay=3)
    stacks = [agent.learner.stack, agent.target, agent.target_policy, agent.critic_learner.stack]
    for number in range(1, 7):
        before = [stack.data.clone() for stack in stacks]
        agent.update()
        moved = [not torch.equal(a, b.data) for a, b in zip(before, stacks, strict=True)]
        assert moved == [number % 3 == 0] * 3 + [True]


def test_the_noise_of_targets_is_clipped() -> None:
    """What target critics are asked: actions within the clip of the policy's, and in bounds."""
    agent = filled(TD3, target_policy_noise=5.0, target_noise_clip=0.3)
    asked: list[tuple[Tensor, Tensor]] = []
    forward = agent.critics_target.forward

    def spy(obs: Tensor, action: Tensor) -> Tensor:
        asked.append((obs, action))
        return forward(obs, action)

    agent.critics_target.forward = spy
    agent.update()
    ((obs, action),) = asked
    plain = torch.tanh(agent.actor_target.forward(obs))
    difference = (action - plain).abs()
    assert difference.max() <= 0.3 + 1e-6
    assert (difference > 0.29).float().mean() > 0.5
    assert action.abs().max() <= 1.0


@pytest.mark.parametrize("kind", [SAC, TD3])
def test_n_steps_are_one(kind: Any) -> None:
    """What a batch becomes: rewards summed to the end of an episode, and the discount after it."""
    agent = filled(kind, n_steps=3)
    state = agent.replay.uniforms.state()
    raw = {key: value.clone() for key, value in agent.replay.sample().items()}
    agent.replay.uniforms.restore(state)
    batch, gamma = agent.batch(), agent.config.gamma
    cut = 0
    for s, b in np.ndindex(*raw["reward"].shape[:2]):
        total, discount = 0.0, 1.0
        for k in range(3):
            if k and raw["first"][s, b, k]:
                cut += 1
                break
            total += discount * float(raw["reward"][s, b, k])
            discount *= gamma * (1.0 - float(raw["terminated"][s, b, k]))
        assert float(batch.reward[s, b]) == pytest.approx(total, rel=1e-5)
        assert float(batch.discount[s, b]) == pytest.approx(discount, abs=1e-6)
    assert cut > 2


@pytest.mark.parametrize("kind", [SAC, TD3])
def test_noise_wanders_and_begins_anew(kind: Any) -> None:
    """Ornstein-Uhlenbeck noise is correlated within an episode; normal noise is not."""
    found = {}
    for name in ("normal", "ornstein-uhlenbeck"):
        agent = filled(kind, "box", steps=0, noise_type=name, noise_std=0.5, n_envs=2)
        first, drawn = np.ones((2, 2), bool), []
        for _ in range(2000):
            drawn.append(np.array(agent.action_noise.next(first)))
            first = np.zeros((2, 2), bool)
        x = np.stack(drawn)
        found[name] = np.corrcoef(x[1:].ravel(), x[:-1].ravel())[0, 1]
        agent.action_noise.value[:] = 50.0
        last = agent.action_noise.next(np.array([[True, False], [False, False]]))
        assert np.abs(last[0, 0]) < 5.0
        assert (last.ravel()[1:] > 40.0).all() == (name != "normal")
    assert found["ornstein-uhlenbeck"] > 0.95
    assert abs(found["normal"]) < 0.05
    assert filled(kind, "box", steps=0, noise_type=None).action_noise is None
    assert "noise_std" in kind.Config(noise_type=None).unused()


@pytest.mark.parametrize("kind", [SAC, TD3])
def test_a_number_of_critics(kind: Any) -> None:
    """One, or three, of which the least counts."""
    for count in (1, 3):
        agent = filled(kind, n_critics=count)
        before = agent.learner.stack.data.clone()
        for _ in range(2):
            agent.update()
        assert not torch.equal(before, agent.learner.stack.data)
        width = agent.critic_learner.stack.data.shape[1]
        told = agent.memory(agent.config, agent.spec, agent.action_space, 2, 1)["networks"]
        held = 4 * 2 * 5 * width  # weights, gradient, two moments, target
        assert held <= 1.35 * told
        assert told <= 2.5 * held


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"n_steps": 3, "gamma": 0.0}, "no later rewards"),
        ({"encoder": "lstm", "batch_size": 8}, "hold no sequence"),
        ({"encoder": "lstm", "n_steps": 20}, "more than sequence_length"),
        ({"net_arch": ()}, "linear in the action"),
        ({"policy_delays": 2}, "Did you mean 'policy_delay'"),
    ],
)
def test_mistakes_in_one_line(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        TD3.Config.build("td3", wrong)


class Strict(Aim):
    """It dies of an action that is no number."""

    def step(self, action: Any) -> Stepped:
        assert np.isfinite(action).all()
        return super().step(action)


@pytest.mark.parametrize("kind", [SAC, TD3, PPO])
@pytest.mark.parametrize("encoder", ["mlp", "lstm"])
def test_actions_that_are_no_numbers_end_their_seed_alone(kind: Any, encoder: str) -> None:
    """Diverged, without the environment having seen them; the others go on, as if alone."""
    given: dict[str, Any] = {"net_arch": (8,), "batch_size": 16, "encoder": encoder}
    given |= {"n_steps": 16} if kind is PPO else {"learning_starts": 10}
    agent = kind(Strict, seeds=[0, 1, 2], n_envs=2, device="cpu", **given)
    agent.begin(60)
    lanes = agent.lanes()
    assert isinstance(lanes, Lanes)
    obs = lanes.reset()
    for _ in range(15):
        agent.observe(lanes.step(agent.act(obs)))
        obs = lanes.obs
    agent.learner.stack.data[1] = float("nan")
    with pytest.raises(SeedsBroken) as caught:
        lanes.step(agent.act(obs))
    assert caught.value.broken == {1: ("diverged", "action became NaN or infinite")}
    assert list(agent.diverged()) == [1]
    agent.keep([0, 2])
    lanes.keep([0, 2])
    step = caught.value.step
    assert step is not None
    agent.observe(step.rows([0, 2]))
    assert np.isfinite(lanes.step(agent.act(lanes.obs)).reward).all()
    lanes.close()


def test_evaluation_ends_such_seeds_too() -> None:
    agent = SAC(Strict, seeds=3, device="cpu", net_arch=(8,))
    agent.learner.stack.data[1] = float("nan")
    scores = [s for s in evaluate.evaluate(agent.policy(), Strict, "grid", 4) if s is not None]
    (bad,) = [s for s in scores if s.error]
    assert (bad.row, bad.status) == (1, "diverged")
    assert len([s for s in scores if not s.error]) == 8


def test_a_seed_that_diverges_in_a_run(tmp_path: Path) -> None:
    """A learning rate beyond all reason: told as diverged, with exit code 1, no traceback."""
    args = ["sac", "--env", "targets:Aim", "--seeds", "2", "-n", "300"]
    wild = ["-p", "learning_rate=1e30", "-p", "net_arch=8", "-p", "batch_size=16"]
    assert here("run", *args, *wild, "--out", tmp_path, "--quiet") == 1


def test_rows_of_a_run_end_as_diverged() -> None:
    agent = SAC(Strict, seeds=2, device="cpu", net_arch=(8,), batch_size=16, learning_starts=10)
    agent.begin(40)
    rows = []
    for row in Trainer(agent, Plan(40, 0, 0, 0, log_points=40)).rows():
        rows.append(row)
        if agent.num_timesteps == 20 and len(agent.seeds) == 2:
            agent.learner.stack.data[0] = float("nan")
    ended = {row.seed: row.status for row in rows if isinstance(row, SeedEnded)}
    assert ended == {0: "diverged", 1: "done"}
