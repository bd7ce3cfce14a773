"""What a trial on random observations finds in users' modules, before they train."""

from __future__ import annotations

import logging
import random
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from lockstep import differences, make, state_of, train
from tensors import streams
from torch import Tensor, nn
from worlds import Dropping, Own, OwnImages, World, image, vector

from rlbench.agents import A2C, DQN
from rlbench.errors import UserError
from rlbench.learning.environments.spaces import ObsSpec
from rlbench.learning.global_generators import seeded
from rlbench.learning.networks.user_module import UserModule
from rlbench.learning.networks.user_module_trial import draw


class Experts(Own):
    """Two layers: the sign of the first number chooses, row by row; zeros reach one of them."""

    def __init__(self, space: Any) -> None:
        super().__init__(space)
        self.left, self.right = nn.Linear(3, 7), nn.Linear(3, 7)

    def forward(self, obs: Tensor) -> Tensor:
        right = obs[:, 0] > 0
        y = self.left(obs)
        if right.any():
            y = y.clone()
            y[right] = self.right(obs[right])
        return super().forward(obs) + y


class Rare(Experts):
    """The same, with one that hardly any observation reaches."""

    def forward(self, obs: Tensor) -> Tensor:
        if (obs[:, 0] > 50).any():
            return super().forward(obs)
        return Own.forward(self, obs) + self.left(obs)


class Counting(Own):
    """A warm-up that counts its calls."""

    def __init__(self, space: Any) -> None:
        super().__init__(space)
        self.count = 0

    def forward(self, obs: Tensor) -> Tensor:
        self.count += 1
        return super().forward(obs) * min(1.0, self.count / 1000)


class Counted(Counting):
    """Counts, and does nothing with it yet."""

    def forward(self, obs: Tensor) -> Tensor:
        self.count += 1
        return Own.forward(self, obs)


class Remembering(Own):
    """Features of the last call are in those of the next."""

    last: Any = 0.0

    def forward(self, obs: Tensor) -> Tensor:
        y = super().forward(obs)
        mixed = y + self.last
        self.last = y.detach().mean()
        return mixed


class OwnGenerator(Own):
    """Noise from a generator of its own, in training."""

    def __init__(self, space: Any) -> None:
        super().__init__(space)
        self.rng = np.random.default_rng(0)

    def forward(self, obs: Tensor) -> Tensor:
        y = super().forward(obs)
        return y * float(self.rng.uniform(0.5, 1)) if self.training else y


class Numpy(Own):
    """First weights and noise in training from numpy's and Python's global generators."""

    def __init__(self, space: Any) -> None:
        super().__init__(space)
        self.scale = nn.Parameter(torch.tensor(np.random.uniform(0.5, 1.5, 7)))  # noqa: NPY002

    def forward(self, obs: Tensor) -> Tensor:
        y = super().forward(obs) * self.scale
        if self.training:
            keep = np.random.random(tuple(y.shape)) > 0.3  # noqa: NPY002
            y = y * torch.from_numpy(keep) * random.uniform(0.9, 1.1)
        return y


class NumpyAlways(Own):
    def forward(self, obs: Tensor) -> Tensor:
        return super().forward(obs) * np.random.uniform(0.5, 1)  # noqa: NPY002


class Standardized(Own):
    """BatchNorm that keeps no statistics."""

    def __init__(self, space: Any) -> None:
        super().__init__(space)
        self.more = nn.BatchNorm1d(7, track_running_stats=False)

    def forward(self, obs: Tensor) -> Tensor:
        return self.more(super().forward(obs))


class StandardizedDropping(Standardized):
    def forward(self, obs: Tensor) -> Tensor:
        return nn.functional.dropout(super().forward(obs), 0.2, self.training)


class WholeBatch(Own):
    """One layer or another for all rows."""

    def forward(self, obs: Tensor) -> Tensor:
        return super().forward(obs) if obs.mean() > 0 else -super().forward(obs)


class TrainingBatch(Own):
    """Depends on the batch in training only."""

    def forward(self, obs: Tensor) -> Tensor:
        y = super().forward(obs)
        return y - y.mean(0) if self.training else y


class NotOfOne(Own):
    def forward(self, obs: Tensor) -> Tensor:
        if len(obs) == 1:
            raise IndexError("too few")
        return super().forward(obs)


class Widening(Own):
    def forward(self, obs: Tensor) -> Tensor:
        y = super().forward(obs)
        return torch.cat([y, y], 1) if len(obs) == 8 else y


@pytest.mark.parametrize(
    ("module", "said"),
    [
        (Counting, "keeps something in an attribute"),
        (Remembering, "keeps something in an attribute"),
        (OwnGenerator, "generator of its own"),
        (NumpyAlways, r"draws random numbers \(numpy\) in evaluation mode"),
        (Standardized, "features that depend on the other observations of a batch"),
        (StandardizedDropping, "features that depend on the other observations of a batch"),
        (WholeBatch, "features that depend on the other observations of a batch"),
        (TrainingBatch, "features that depend on the other observations of a batch"),
        (NotOfOne, "fails on observations of .*, 1 at once: IndexError: too few"),
        (Widening, "returns 7 features for one batch and 14 for another"),
    ],
)
@pytest.mark.parametrize("kind", [A2C, DQN])
def test_what_is_refused(kind: Any, module: type, said: str) -> None:
    """In one line that begins with its name, before anything trains; no generator has moved."""
    before = torch.get_rng_state(), str(np.random.get_state()), random.getstate()  # noqa: NPY002
    with pytest.raises(UserError, match=said) as error:
        make(kind, World, encoder=module)
    assert str(error.value).startswith(f"encoder '{__name__}:{module.__name__}' ")
    assert "\n" not in str(error.value)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert str(np.random.get_state()) == before[1]  # noqa: NPY002
    assert random.getstate() == before[2]


@pytest.mark.parametrize("kind", [A2C, DQN])
@pytest.mark.parametrize("module", [Experts, Rare])
def test_all_parameters_learn(kind: Any, module: type) -> None:
    """Those too that zeros do not reach, or only few batches; alone as in company."""
    together, _ = train(World, 2, 60, kind=kind, encoder=module)
    alone, _ = train(World, (1,), 60, kind=kind, encoder=module)
    assert differences(state_of(together, 1), state_of(alone, 1)) == []
    start = make(kind, World, 2, encoder=module)
    own = next(m for m in together.learner.network.modules() if isinstance(m, UserModule))
    first = next(m for m in start.learner.network.modules() if isinstance(m, UserModule))
    moved = {
        name
        for name, a, b in zip(own.names, own.stacked, first.stacked, strict=True)
        if not torch.equal(a, b)
    }
    assert {"left.weight", "linear.weight"} <= moved
    assert ("right.weight" in moved) == (module is Experts)


@pytest.mark.parametrize("kind", [A2C, DQN])
def test_numbers_of_numpy_are_the_seeds_own(kind: Any) -> None:
    """First weights and noise: alone as in company, whatever was drawn before."""
    together, _ = train(World, 2, 60, kind=kind, encoder=Numpy)
    np.random.random(5)  # noqa: NPY002
    random.random()
    before = str(np.random.get_state()), random.getstate()  # noqa: NPY002
    alone, _ = train(World, (1,), 60, kind=kind, encoder=Numpy)
    assert differences(state_of(together, 1), state_of(alone, 1)) == []
    assert str(np.random.get_state()) == before[0]  # noqa: NPY002
    assert random.getstate() == before[1]
    module = UserModule(streams(0, 1), ObsSpec(vector(3)), f"{__name__}:Numpy")
    assert module.draws == ("numpy", "random")
    obs = torch.ones(2, 4, 3)
    assert not torch.equal(module.forward(obs), module.forward(obs))


@pytest.mark.parametrize(
    ("module", "said"),
    [
        (Rare, "no gradient reached right.weight, right.bias on"),
        (Counted, "calls change count, which all seeds share"),
        (Experts, ""),
        (Dropping, ""),
    ],
)
def test_what_is_told(module: type, said: str, caplog: pytest.LogCaptureFixture) -> None:
    """Once, by name, and nothing where nothing is wrong."""
    with caplog.at_level(logging.WARNING, "rlbench"):
        agent = make(DQN, World, 2, encoder=module)
        agent.policy()
    assert [said in record.getMessage() for record in caplog.records] == [True] * bool(said)


def test_a_trial_leaves_first_weights_alone() -> None:
    """They are those that the class draws from the seed's own stream."""
    module = UserModule(streams(3), ObsSpec(image(8, 9, 2)), "worlds:OwnImages")
    with seeded(int(streams(3)[0].integers(2**31))):
        plain = OwnImages(spaces.Box(0, 255, (2, 8, 9), np.uint8))
    for mine, its in zip(module.stacked, plain.parameters(), strict=True):
        assert torch.equal(mine[0], its)


def test_observations_of_a_trial() -> None:
    """Elements of their spaces, over all of the range, of both signs where there are no bounds."""
    everything = spaces.Dict(
        {
            "wide": spaces.Box(-np.finfo(np.float32).max, np.inf, (4,), np.float32),
            "double": spaces.Box(
                -np.finfo(np.float64).max, np.finfo(np.float64).max, (2,), np.float64
            ),
            "half": spaces.Box(3.0, np.inf, (4,), np.float32),
            "image": image(8, 8, 3),
            "truth": spaces.Box(0, 1, (9,), np.bool_),
            "whole": spaces.Box(-3, 3, (9,), np.int64),
            "one": spaces.Discrete(3, start=5),
            "more": spaces.Tuple([spaces.MultiDiscrete([2, 3]), spaces.MultiBinary(3)]),
        }
    )
    rng = np.random.default_rng(1)
    drawn = [draw(everything, rng) for _ in range(200)]
    assert all(map(everything.contains, drawn))
    wide = np.stack([one["wide"] for one in drawn])
    assert wide.min() < -1
    assert wide.max() > 1
    assert np.abs(wide).max() < 10
    assert {int(v) for one in drawn for v in one["whole"]} == set(range(-3, 4))
    assert {int(one["one"]) for one in drawn} == {5, 6, 7}
    pixels = np.stack([one["image"] for one in drawn])
    assert (pixels.min(), pixels.max()) == (0, 255)
    assert {bool(v) for one in drawn for v in one["truth"]} == {False, True}
