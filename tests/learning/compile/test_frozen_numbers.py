"""Numbers of Python that an update reads: recorded or not, it learns the same, and says why."""

from __future__ import annotations

import logging
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from lockstep import differences, make
from mixes import recordings
from torch import Tensor
from worlds import World

from rlbench.agents import A2C, DQN, PPO, SAC
from rlbench.learning.compile import compiled_update
from rlbench.learning.compile.compiled_update import CompiledUpdate

STEPS, SEEDS = 50, (4, 5)
OFF_POLICY = {"learning_starts": 10, "buffer_size": 60, "batch_size": 8, "train_freq": 2,
              "net_arch": (8,)}  # fmt: skip
COEFFICIENT = 1.0  # a global that `Global` reads


class Schedule:
    """An object of the user's that holds a number."""

    value = 1.0


class Scaled(DQN):
    """Research code: the loss is scaled by a number that `before` sets before every update."""

    coef: Any = 1.0

    def build(self) -> None:
        super().build()
        self.schedule, self.parts_of, self.array = Schedule(), {"loss": 1.0}, np.ones(2)

    def before(self, progress: float) -> None:
        """Set numbers when this share of training has passed."""

    def scale(self) -> Any:
        return self.coef

    def update(self) -> None:
        self.before(self.progress())
        super().update()

    def loss(self, *args: Any, **given: Any) -> tuple[Tensor, Tensor]:
        loss, priority = super().loss(*args, **given)
        return loss * self.scale(), priority


class Attribute(Scaled):
    def before(self, progress: float) -> None:
        self.coef = 1 - progress


class Late(Scaled):
    """It begins to fall at half."""

    def before(self, progress: float) -> None:
        self.coef = min(1.0, 1.5 - progress)


class Branch(Scaled):
    def before(self, progress: float) -> None:
        self.doubled = progress > 0.5

    def scale(self) -> Any:
        return 2.0 if self.doubled else 1.0


class Property(Scaled):
    """Nothing is assigned: the number is computed from the progress where it is read."""

    def scale(self) -> Any:
        return max(0.0, 1 - self.progress() * 2)


class Held(Scaled):
    def before(self, progress: float) -> None:
        self.schedule.value = 1 - progress

    def scale(self) -> Any:
        return self.schedule.value


class InDict(Scaled):
    def before(self, progress: float) -> None:
        self.parts_of["loss"] = 1.0 if progress < 0.5 else 0.3

    def scale(self) -> Any:
        return self.parts_of["loss"]


class InArray(Scaled):
    def before(self, progress: float) -> None:
        self.array[1] = 1.0 if progress < 0.5 else 0.3

    def scale(self) -> Any:
        return float(self.array[1])


class OfClass(Scaled):
    def before(self, progress: float) -> None:
        type(self).coef = 1.0 if progress < 0.5 else 0.3


class OtherTensor(Scaled):
    def before(self, progress: float) -> None:
        if progress > 0.5 or not isinstance(self.coef, Tensor):
            self.coef = torch.tensor(1 - progress)


class Global(Scaled):
    def before(self, progress: float) -> None:
        globals()["COEFFICIENT"] = 1 - progress

    def scale(self) -> Any:
        return COEFFICIENT


ALL = [Attribute, Late, Branch, Property, Held, InDict, InArray, OfClass, OtherTensor, Global]


def learned(
    kind: Any, recorded: bool, monkeypatch: pytest.MonkeyPatch, callback: Any = None, **given: Any
) -> Any:
    monkeypatch.setattr(compiled_update, "warmed_up", lambda *_: recorded)
    agent = make(kind, partial(World, "vector", "box") if kind is SAC else World, SEEDS, **given)
    agent.learn(STEPS, callback=callback and (lambda row: callback(agent)))
    return agent


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]


@pytest.mark.parametrize("kind", ALL)
def test_a_number_that_changes(
    kind: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Not one update has an old number: weights are those of a run that records nothing. One
    warning says what changed and where it is read."""
    eager = learned(kind, False, monkeypatch, **OFF_POLICY)
    OfClass.coef = 1.0
    assert warnings(caplog) == []
    agent = learned(kind, True, monkeypatch, **OFF_POLICY)
    OfClass.coef = 1.0
    assert differences(agent.state(), eager.state()) == []
    assert recordings(agent) == 0
    (said,) = warnings(caplog)
    assert "test_frozen_numbers.py:" in said
    names = {Attribute: "Attribute.coef was", Late: "Late.coef was 1.0 and is 0.9",
             Branch: "Branch.doubled was False and is True", Held: "Held.schedule has changed",
             OtherTensor: "another tensor", Global: " became "}  # fmt: skip
    assert names.get(kind, "") in said


def test_numbers_that_stay(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The control: a coefficient that does not change is recorded, without a word."""
    agent = learned(Scaled, True, monkeypatch, **OFF_POLICY)
    assert recordings(agent) == 1
    assert warnings(caplog) == []
    plain = learned(Scaled, True, monkeypatch, record=False, **OFF_POLICY)
    assert recordings(plain) == 0
    assert differences(agent.state(), plain.state()) == []


@pytest.mark.parametrize(("kind", "name"), [(DQN, "gamma"), (PPO, "ent_coef"), (A2C, "vf_coef"),
                                            (SAC, "gamma")])  # fmt: skip
def test_a_configuration_that_is_replaced(
    kind: Any, name: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """By a callback, in the middle of training."""

    def halve(agent: Any) -> None:
        if agent.progress() > 0.5:
            agent.config = agent.config.model_copy(update={name: 0.25})

    given = OFF_POLICY if kind in (DQN, SAC) else {"n_envs": 2, "n_steps": 4, "net_arch": (8,)}
    eager = learned(kind, False, monkeypatch, halve, **given)
    agent = learned(kind, True, monkeypatch, halve, **given)
    assert differences(agent.state(), eager.state()) == []
    assert any("config has changed" in said and "0.25" in said for said in warnings(caplog))
    before = learned(kind, False, monkeypatch, **given)
    assert differences(agent.state(), before.state())  # it did matter


def started(function: Any, **given: Any) -> CompiledUpdate:
    """A program that is recorded at its next call."""
    program = CompiledUpdate(function, **given)
    program.calls, program.seconds = compiled_update.CALLS, compiled_update.SECONDS
    return program


def test_what_is_not_an_attribute_is_found_later(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A number in a closure that changes at call 20: the last updates had the old one, and the
    warning says how many at most."""
    calls = 0

    def function(x: Tensor) -> dict[str, Tensor]:
        return {"y": x * (1.0 if calls < 20 else 5.0)}

    program = started(function)
    got = []
    for _ in range(40):
        calls += 1
        got.append(float(program(x=torch.ones(2))["y"].sum()))
    change = got.index(10.0)
    assert got == [2.0] * change + [10.0] * (40 - change)
    assert 20 <= change < 40
    (said,) = warnings(caplog)
    assert "1.0 became 5.0" in said
    assert "within the last" in said


def test_checks_come_less_and_less_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """After 1, 2, 4, ... calls, and then every CHECK_EVERY."""
    monkeypatch.setattr(compiled_update, "CHECK_EVERY", 16)
    runs: list[int] = []
    counted = [0]

    def function(x: Tensor) -> dict[str, Tensor]:
        runs.append(counted[0])
        return {"y": x * 2}

    program = started(function)
    for i in range(100):
        counted[0] = i
        program(x=torch.ones(2))
    checks = [i for i in runs if i]
    gaps = np.diff(checks).tolist()
    assert gaps == [3, 5, 9, *[17] * (len(gaps) - 3)]


def test_an_attribute_that_changes_for_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """It is read, and does not matter: some checks, and then no recording, with a line."""

    class Counting:
        count = 0

        def function(self, x: Tensor) -> dict[str, Tensor]:
            return {"y": x * (2 if self.count >= 0 else 3)}

    owner = Counting()
    program = started(owner.function, owners=[owner])
    for owner.count in range(40):
        assert torch.equal(program(x=torch.ones(2))["y"], torch.full((2,), 2.0))
        assert (not program.untraced) == (owner.count <= compiled_update.ALARMS)
    (said,) = warnings(caplog)
    assert "Counting.count was" in said


def test_a_branch_that_reads_a_tensor_later(caplog: pytest.LogCaptureFixture) -> None:
    """What can be recorded no more goes on without."""
    calls = [0]

    def function(x: Tensor) -> dict[str, Tensor]:
        calls[0] += 1
        return {"y": x * 2 if calls[0] < 8 else x * float(x.sum() * 3)}

    program = started(function)
    got = [float(program(x=torch.ones(2))["y"].sum()) for _ in range(80)]
    assert got[0] == 4.0
    assert got[-1] == 12.0
    (said,) = warnings(caplog)
    assert "the value of a tensor is read (test_frozen_numbers.py:" in said


class OfOne:
    """The owner of a function that reads one number."""

    coef = 1.0

    def function(self, x: Tensor) -> dict[str, Tensor]:
        return {"y": x * self.coef}


@pytest.mark.parametrize("unseen", [True, False])
def test_a_change_reaches_recordings_of_all_shapes(unseen: bool) -> None:
    """Also where the first call after it has another shape, recorded before or not."""
    owner, small, large = OfOne(), torch.ones(2), torch.ones(3)
    program = started(owner.function, owners=[owner])
    for x in [small] * 20 + ([] if unseen else [large] * 20):
        program(x=x)
    owner.coef = 0.5
    for x in (large, small, small):
        assert torch.equal(program(x=x)["y"], x / 2)


@pytest.mark.parametrize("operation", [torch.cat, lambda each: torch.stack(each).sum(0)])
def test_a_longer_list_of_tensors_is_another_update(operation: Any) -> None:
    more = [torch.ones(2)]
    program = started(lambda x: {"y": operation([x, *more]).sum()})
    for _ in range(3):
        assert float(program(x=torch.ones(2))["y"]) == 4.0
    more.append(more[0])
    assert [float(program(x=torch.ones(2))["y"]) for _ in range(6)][-1] == 6.0


def test_an_end_that_is_left_out_is_another_update() -> None:
    target, copies = torch.zeros(2), [True]

    def function(x: Tensor) -> dict[str, Tensor]:
        made = x * 2
        if copies:
            target.copy_(x)
        return {"y": made}

    program = started(function)
    for _ in range(3):
        program(x=torch.ones(2))
    copies.clear()
    for value in range(2, 9):
        program(x=torch.full((2,), float(value)))
    assert program.untraced
    assert target.max() < 4  # found at the next check
