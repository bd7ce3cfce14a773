"""Slips that users' modules really have: each either works as it should or is refused in a line."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from lockstep import differences, make, state_of, train
from torch import Tensor, nn
from worlds import Own, World

from rlbench.agents import A2C, DQN
from rlbench.errors import UserError


class Careless(Own):
    """Dropout that was not told about evaluation."""

    def forward(self, obs: Tensor) -> Tensor:
        return F.dropout(super().forward(obs), 0.3)


class Spare(Own):
    """Holds a layer that it does not use."""

    def __init__(self, space: Any) -> None:
        super().__init__(space)
        self.head = nn.Linear(7, 2)


class Frozen(Own):
    """Its first layer is not to be trained."""

    def __init__(self, space: Any) -> None:
        super().__init__(space)
        self.linear.requires_grad_(False)


class InPlace(Own):
    """Changes what it was given."""

    def forward(self, obs: Tensor) -> Tensor:
        obs.mul_(0.5)
        return super().forward(obs)


class Scaled(Own):
    """A parameter without axes, and one weight in two places."""

    def __init__(self, space: Any) -> None:
        super().__init__(space)
        self.gain = nn.Parameter(torch.tensor(2.0))
        self.one, self.two = nn.Linear(7, 7), nn.Linear(7, 7)
        self.two.weight = self.one.weight

    def forward(self, obs: Tensor) -> Tensor:
        return self.gain * self.two(self.one(super().forward(obs)))


def refused(kind: Any, encoder: type) -> bool:
    """Whether making the agent is refused, in one line."""
    try:
        make(kind, World, encoder=encoder)
    except UserError as error:
        said = str(error)
    else:
        return False
    assert "\n" not in said
    return True


@pytest.mark.parametrize("kind", [A2C, DQN])
@pytest.mark.parametrize("encoder", [Careless, Scaled])
def test_random_numbers_outside_training(kind: Any, encoder: type) -> None:
    """In acting and evaluation too they are the seed's own, and nobody else's move."""
    if refused(kind, encoder):
        return
    before = torch.get_rng_state()
    together, _ = train(World, 2, 60, kind=kind, encoder=encoder)
    alone, _ = train(World, (1,), 60, kind=kind, encoder=encoder)
    assert differences(state_of(together, 1), state_of(alone, 1)) == []
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("kind", [A2C, DQN])
def test_an_unused_parameter(kind: Any) -> None:
    """The rest is trained as if it were not there."""
    if refused(kind, Spare):
        return
    agent, _ = train(World, 2, 60, kind=kind, encoder=Spare)
    assert agent.learner.optimizer.updates > 1


@pytest.mark.parametrize("kind", [A2C, DQN])
def test_frozen_parameters_stay(kind: Any) -> None:
    if refused(kind, Frozen):
        return
    agent, start = (
        train(World, 2, 60, kind=kind, encoder=Frozen)[0],
        make(kind, World, 2, encoder=Frozen),
    )
    after, before = (dict(a.learner.network.named_parameters()) for a in (agent, start))
    own = [name for name in after if ".own." in name]
    shapes = {tuple(after[name].shape): name for name in own}
    assert torch.equal(after[shapes[2, 7, 3]], before[shapes[2, 7, 3]])
    assert any((after[name] != before[name]).any() for name in own)  # the others are trained


@pytest.mark.parametrize("kind", [A2C, DQN])
def test_inputs_changed_in_place(kind: Any) -> None:
    """It gets copies: what is stored stays."""
    if refused(kind, InPlace):
        return
    agent, _ = train(World, 2, 60, kind=kind, encoder=InPlace)
    other, _ = train(World, 2, 60, kind=kind, encoder=Own, learning_rate=1e-30)
    assert agent.learner.optimizer.updates == other.learner.optimizer.updates > 1
