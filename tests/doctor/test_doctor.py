"""The doctor: agents of rlbench are well, and what is broken on purpose is found."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from commands import here
from sampled import sampled

from rlbench import registry
from rlbench.agents import A2C, DQN, PPO
from rlbench.commands.doctor import doctor
from rlbench.doctor.checks import CHECKS, examine
from rlbench.doctor.patient import Patient


class Sign(A2C):
    """The policy's loss has the wrong sign."""

    def total_loss(self, policy_loss: Any, value_loss: Any, entropy: Any) -> Any:
        return super().total_loss(-policy_loss, value_loss, entropy)


class NoDiscount(DQN):
    def bootstrap(self, *args: Any, **batch: Any) -> Any:
        reward, discount, future = super().bootstrap(*args, **batch)
        return reward, (discount > 0).to(discount.dtype), future


class CutIsEnd(DQN):
    """Time limits are taken for ends."""

    def observe(self, step: Any) -> Any:
        return super().observe(step._replace(terminated=step.terminated | step.truncated))


class EndIsCut(DQN):
    """Ends are taken for time limits."""

    def observe(self, step: Any) -> Any:
        over = step.terminated | step.truncated
        return super().observe(step._replace(terminated=np.zeros_like(over), truncated=over))


class FrozenTarget(DQN):
    def observe(self, step: Any) -> Any:
        before = self.target.data.clone()
        metrics = super().observe(step)
        self.target.data.copy_(before)
        return metrics


class SharedWeights(A2C):
    """Seeds share their weights."""

    def observe(self, step: Any) -> Any:
        metrics = super().observe(step)
        data = self.learner.stack.data
        data.copy_(data.mean(0, keepdim=True).expand_as(data))
        return metrics


class Summed(A2C):
    """Losses are divided by what all seeds have together."""

    def total_loss(self, policy_loss: Any, value_loss: Any, entropy: Any) -> Any:
        loss, metrics = super().total_loss(policy_loss, value_loss, entropy)
        return loss / (1 + loss.detach().abs().sum()), metrics


class WrongAction(DQN):
    """What was done is stored as its opposite."""

    def observe(self, step: Any) -> Any:
        return super().observe(step._replace(action=self.n_actions - 1 - step.action))


class Blind(PPO):
    """Updates see blank observations."""

    def evaluate(self, items: dict[str, Any]) -> Any:
        return super().evaluate({**items, "seen": torch.zeros_like(items["seen"])})


class SameNext(DQN):
    """What follows is what was."""

    def observe(self, step: Any) -> Any:
        return super().observe(step._replace(next_obs=step.obs))


class ResetIsNext(DQN):
    """After a time limit, what follows is what an episode begins with."""

    begun: Any = None

    def observe(self, step: Any) -> Any:
        self.begun = step.obs.copy() if self.begun is None else self.begun
        following = np.where(step.truncated[..., None], self.begun, step.next_obs)
        return super().observe(step._replace(next_obs=following))


class Remembers(PPO):
    """Its hidden state goes on where an episode ends."""

    def observe(self, step: Any) -> Any:
        metrics = super().observe(step)
        self.context.episode_start = np.zeros_like(self.context.episode_start)
        return metrics


class GlobalDraws(DQN):
    """It explores by numpy's global generator."""

    def act(self, obs: Any) -> Any:
        action = super().act(obs)
        return np.where(np.random.random(action.shape) < 0.2, 0, action)  # noqa: NPY002


class Forgetful(DQN):
    """Its random numbers are no part of what is saved."""

    def parts(self) -> dict[str, Any]:
        return {**super().parts(), "exploration": None}


class NoValueLoss(A2C):
    """The value learns nothing."""

    def total_loss(self, policy_loss: Any, value_loss: Any, entropy: Any) -> Any:
        return super().total_loss(policy_loss, value_loss.detach(), entropy)


class Idle(DQN):
    def learn_now(self, updates: int) -> None:
        pass


class Infinite(A2C):
    """Its loss overflows."""

    def total_loss(self, policy_loss: Any, value_loss: Any, entropy: Any) -> Any:
        return super().total_loss(policy_loss, 1e30 * 1e30 * value_loss, entropy)


class TwoSeeds:
    """An agent of two methods whose seeds share a table, and that ignores observations."""

    table: dict[int, float] = {}

    def __init__(self, observation_space: Any, action_space: Any, seed: int) -> None:
        self.rng, self.actions = np.random.default_rng(seed), int(action_space.n)
        self.table.clear()

    def act(self, obs: Any, explore: bool) -> int:
        if explore and self.rng.random() < 0.3:
            return int(self.rng.integers(self.actions))
        return max(range(self.actions), key=lambda action: self.table.get(action, 0.0))

    def observe(self, obs: Any, action: int, reward: float, *rest: Any) -> None:
        self.table[action] = 0.9 * self.table.get(action, 0.0) + 0.1 * reward


# A mutant, a check that must find it, and what it must say.
MUTANTS: list[tuple[type, str, str]] = [
    (Sign, "best action", "always the worst one, so a sign or an index is wrong"),
    (NoDiscount, "discount over two steps", "the discount is missing"),
    (CutIsEnd, "time limits are no ends", "time limits may be taken for ends"),
    (EndIsCut, "ends end values", "where terminated is true"),
    (FrozenTarget, "time limits are no ends", "what is worth 5.00 has the value"),
    (SharedWeights, "a seed alone and beside others", "something is summed, shared or drawn"),
    (Summed, "a seed alone and beside others", "something is summed, shared or drawn"),
    (WrongAction, "best action", "always the worst one"),
    (Blind, "value of what is observed", "values do not depend on what is observed"),
    (SameNext, "discount over two steps", "what follows a step does not count"),
    (ResetIsNext, "what follows a time limit", "not from that of the reset"),
    (GlobalDraws, "determinism", "not from global generators"),
    (Forgetful, "save and load", "parts() lacks something"),
    (NoValueLoss, "gradients", "parameters never get a gradient"),
    (Idle, "value of a constant reward", "even that is not learned"),
    (Infinite, "gradients", "gradients are NaN or infinite"),
    (TwoSeeds, "best action for what is observed", "take the wrong action"),
]
QUICK = {"CutIsEnd", "SharedWeights", "GlobalDraws"}


@pytest.mark.parametrize(
    ("mutant", "check", "said"),
    [pytest.param(*case, marks=[] if case[0].__name__ in QUICK else [pytest.mark.slow],
                  id=case[0].__name__) for case in MUTANTS],
)  # fmt: skip
def test_a_mutant_is_found(mutant: type, check: str, said: str) -> None:
    """And its healthy parent passes the same check."""
    wrong = CHECKS[check](Patient(f"{__name__}:{mutant.__name__}", {}))
    assert said in (wrong or ""), wrong
    if mutant.__name__ in QUICK - {"CutIsEnd"}:
        parent = mutant.__mro__[1].__module__.rpartition(".")[2]
        assert CHECKS[check](Patient(parent, {})) == ""


OWN = [
    name for name in registry.own_agents()
    if not name.startswith(("sb3-", "supervised"))
    and name not in ("clone", "hybrid", "knn", "logistic-regression", "majority", "random",
                     "random-forest", "svm", "td3-bc")
]  # fmt: skip


# Agents that are others with other parameters: rainbow has c51's, dueling-dqn's and per-dqn's, iqn
# learns quantiles, dqn is double by default, and probes of dqn with a memory are tested elsewhere.
VARIANTS = {"c51", "ddpg", "double-dqn", "drqn", "dueling-dqn", "per-dqn", "qr-dqn"}


@pytest.mark.slow
@pytest.mark.parametrize("name", sampled(OWN, [name for name in OWN if name not in VARIANTS]))
def test_agents_of_rlbench_are_well(name: str) -> None:
    findings = list(examine(Patient(name, {})))
    assert [finding for finding in findings if finding.wrong] == []
    assert sum(finding.wrong == "" for finding in findings) >= 10


@pytest.mark.slow
def test_a_memory_is_checked() -> None:
    check = CHECKS["memory of one step"]
    assert check(Patient("ppo", {"encoder": "gru"})) == ""
    assert check(Patient("ppo", {})) is None


@pytest.mark.parametrize("encoder", ["gru", "attention"])
def test_a_memory_ends_with_an_episode(encoder: str) -> None:
    check, given = CHECKS["memory ends with an episode"], {"encoder": encoder}
    assert "reset it where an episode starts" in (
        check(Patient(f"{__name__}:{Remembers.__name__}", given)) or ""
    )
    for name in ("ppo", "dqn"):
        assert check(Patient(name, given)) == ""
    assert check(Patient("sac", {"encoder": "gru"})) == ""
    assert check(Patient("dqn", {})) is None


@pytest.mark.slow
def test_peers_are_examined() -> None:
    findings = {finding.check: finding.wrong for finding in examine(Patient("sb3-dqn", {}))}
    assert not any(findings.values()), findings
    assert findings["best action"] == ""
    assert findings["value of a constant reward"] is None


def test_the_table_and_the_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A line for each check, long reasons below each other, and exit code 1."""
    checks = {"one": lambda _: "", "two": lambda _: "it is wrong " * 12, "three": lambda _: None}
    monkeypatch.setattr("rlbench.doctor.checks.CHECKS", checks)
    monkeypatch.setattr("rlbench.doctor.checks._chance", lambda *_, **__: "")
    assert doctor("dqn", None, {}) == 1
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines[:2]] == [["one", "pass"], ["two", "fail"]]
    assert lines[2].strip().startswith(("it is", "is wrong", "wrong"))
    assert lines[-1].startswith("dqn: 2 passed, 1 failed, 1 do not apply, in ")
    assert max(map(len, lines)) <= 110
    checks.pop("two")
    assert doctor("dqn", None, {}) == 0


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["doctor", "dqm"], "no agent 'dqm'"),
        (["doctor", "dqn", "-p", "gama=1"], "no parameter 'gama'"),
        (["doctor", "knn"], "needs a whole image"),
    ],
)
def test_what_cannot_be_examined_is_one_line(
    args: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert here(*args) == 2
    error = capsys.readouterr().err
    assert message in error
    assert len(error.splitlines()) == 1
