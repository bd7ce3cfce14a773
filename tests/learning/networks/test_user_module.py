"""Modules of the user's own as encoders: what they get, what is refused, what is reproducible."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from lockstep import differences, make, train
from tensors import streams
from torch import Tensor, nn
from worlds import Dropping, Own, World, image, vector

from rlbench.agents import A2C, DQN, PPO
from rlbench.errors import UserError
from rlbench.learning.environments.spaces import ObsSpec
from rlbench.learning.networks.user_module import UserModule, seen_space


class Spy(nn.Module):
    """Keeps the space it was made from, and what it was given."""

    spaces: list[Any] = []
    given: list[Any] = []

    def __init__(self, space: Any) -> None:
        super().__init__()
        self.spaces.append(space)
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, obs: Any) -> Tensor:
        self.given.append(obs)
        leaf = obs
        while not isinstance(leaf, Tensor):
            leaf = next(iter(leaf.values())) if isinstance(leaf, dict) else leaf[0]
        return leaf.flatten(1) * self.weight


class Wrong(Own):
    """Breaks one promise, whose name the tests set."""

    how = ""

    def __init__(self, space: Any) -> None:
        if self.how == "init":
            raise ValueError("two\nlines")
        super().__init__(space)
        if self.how == "batchnorm":
            self.more = nn.BatchNorm1d(7)
        if self.how == "random buffer":
            self.register_buffer("noise", torch.normal(0.0, 1.0, (7,)))
        if self.how == "constant buffer":
            self.register_buffer("noise", torch.ones(7))

    def forward(self, obs: Tensor) -> Any:
        y = super().forward(obs)
        if self.how == "forward":
            raise KeyError("nothing")
        if self.how == "batchnorm":
            y = self.more(y)
        wrong = {"shape": y.unsqueeze(0), "rows": y[:1], "tuple": (y, y), "scalar": y.sum()}
        return wrong.get(self.how, y)


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("init", "cannot be made from the observation space: ValueError: two"),
        ("forward", "fails on observations of .*KeyError"),
        ("shape", r"must return features \(B, F\): for 3 observations it returned \(1, 3, 7\)"),
        ("rows", r"returned \(1, 7\)"),
        ("tuple", "returned tuple"),
        ("scalar", r"returned \(\)"),
        ("batchnorm", "has a buffer, more.*LayerNorm"),
        ("random buffer", "has a buffer, noise, that is random"),
    ],
)
def test_what_could_not_work_is_told_in_one_line(
    how: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Wrong, "how", how)
    with pytest.raises(UserError, match=said) as error:
        make(A2C, World, encoder=Wrong)
    assert "\n" not in str(error.value)


def test_a_buffer_that_stays_is_fine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Wrong, "how", "constant buffer")
    assert make(A2C, World, encoder=Wrong).learn(16).num_timesteps == 16


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nowhere:Own", "No module named 'nowhere'"),
        ("worlds:Missing", "no attribute 'Missing'"),
        ("worlds:World", "not a class of torch.nn.Module"),
        ("worlds:image", "not a class of torch.nn.Module"),
    ],
)
def test_names_that_lead_nowhere(name: str, said: str) -> None:
    with pytest.raises(UserError, match=said) as error:
        make(DQN, World, encoder=name)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("kind", [A2C, PPO, DQN])
def test_a_class_and_its_name_are_the_same(kind: Any, tmp_path: Any) -> None:
    """Bit for bit, also from a file, which knows the class by its name."""
    one, other = (
        train(World, 2, 60, kind=kind, encoder=e)[0] for e in (Dropping, "worlds:Dropping")
    )
    assert one.config == other.config
    assert one.config.encoder == "worlds:Dropping"
    assert differences(one.state(), other.state()) == []
    loaded = kind.load(one.save(tmp_path / "agent.npz"), World, device="cpu")
    assert differences(one.learn(40).state(), loaded.learn(40).state()) == []


def test_dropout_is_of_the_seeds_own_stream() -> None:
    """In training mode only; the same again for the same calls; nobody else's numbers move."""
    spec = ObsSpec(vector(3))
    module, same = (UserModule(streams(0, 1), spec, "worlds:Dropping") for _ in range(2))
    alone, plain = (
        UserModule(streams(1), spec, name) for name in ("worlds:Dropping", "worlds:Own")
    )
    assert module.draws
    assert not plain.draws
    obs = torch.linspace(-1, 1, 15).reshape(1, 5, 3).expand(2, 5, 3)
    before = torch.get_rng_state()
    with torch.no_grad():
        quiet = module.forward(obs)
        assert torch.equal(quiet, module.forward(obs))
        assert module.calls == 0
    drawn = [module.forward(obs).detach() for _ in range(3)]
    assert torch.equal(torch.get_rng_state(), before)
    zeros = [(x == 0).float().mean() for x in drawn]
    assert min(zeros) > 0.1
    assert (quiet != 0).all()
    assert (drawn[0] != drawn[1]).any()
    assert ((drawn[0][0] == 0) != (drawn[0][1] == 0)).any()
    for x in drawn:
        assert torch.equal(same.forward(obs).detach(), x)
        assert torch.equal(alone.forward(obs[1:]).detach()[0], x[1])


def test_first_weights_are_of_the_seeds_own_stream() -> None:
    spec, before = ObsSpec(vector(3)), torch.get_rng_state()
    both, alone = (UserModule(streams(*s), spec, "worlds:Own") for s in ((0, 1), (1,)))
    assert torch.equal(torch.get_rng_state(), before)
    for stacked, own in zip(both.stacked, alone.stacked, strict=True):
        assert torch.equal(stacked[1], own[0])
    assert not torch.equal(both.stacked[0][0], both.stacked[0][1])


def test_it_computes_what_the_module_does() -> None:
    """Outputs and gradients seed by seed, against plain copies with the same weights."""
    spec = ObsSpec(vector(3))
    module = UserModule(streams(0, 1), spec, "worlds:Own")
    obs = torch.linspace(-1, 2, 24).reshape(2, 4, 3)
    y = module.forward(obs)
    y.square().sum().backward()
    for s in range(2):
        copy = Own(spaces.Box(-1, 1, (3,)))
        copy.load_state_dict({k: v[s] for k, v in zip(module.names, module.stacked, strict=True)})
        its = copy(obs[s])
        torch.testing.assert_close(y[s], its)
        its.square().sum().backward()
        for mine, other in zip(module.stacked, copy.parameters(), strict=True):
            assert mine.grad is not None
            torch.testing.assert_close(mine.grad[s], other.grad)


MIXED = spaces.Dict(
    {"look": image(8, 9, 3), "more": spaces.Tuple([vector(2), spaces.Discrete(3, start=1)])}
)


@pytest.mark.parametrize("stack", [1, 2])
def test_what_a_module_gets(stack: int) -> None:
    """Images channels first in [0, 1]; vectors, categories one-hot; dictionaries as they are."""
    spec = ObsSpec(MIXED, stack)
    Spy.spaces.clear()
    module = UserModule(streams(0), spec, f"{__name__}:Spy")
    look = Spy.spaces[0]["look"]
    assert look.shape == (3 * stack, 8, 9)
    assert (look.low.min(), look.high.max(), look.dtype) == (0, 255, np.uint8)
    assert Spy.spaces[0]["more"][0].shape == (2 * stack,)
    assert seen_space(spec, MIXED, iter(spec.parts))["look"] == look
    some = []
    for k in range(stack):
        MIXED.seed(k)
        some.append(MIXED.sample())
    stored = np.stack([spec.array(o) for o in some]).astype(np.float32)
    Spy.given.clear()
    module.forward(torch.from_numpy(stored.reshape(1, 1, *spec.seen)))
    (got,) = Spy.given
    pixels = np.concatenate([np.moveaxis(o["look"], -1, 0) for o in some]) / 255
    np.testing.assert_allclose(got["look"][0], pixels, rtol=1e-6)
    pose, kind = got["more"]
    np.testing.assert_array_equal(pose[0], np.concatenate([o["more"][0] for o in some]))
    hot = [[float(o["more"][1] == 1 + i) for i in range(3)] for o in some]
    assert kind[0].tolist() == sum(hot, [])  # noqa: RUF017


def test_a_table_keeps_its_shape() -> None:
    spec = ObsSpec(spaces.Box(-1.0, 1.0, (2, 3), np.float32))
    module = UserModule(streams(0), spec, f"{__name__}:Spy")
    Spy.given.clear()
    module.forward(torch.arange(12.0).reshape(1, 2, 2, 3))
    assert Spy.given[0].tolist() == torch.arange(12.0).reshape(2, 2, 3).tolist()
