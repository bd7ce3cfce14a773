"""What networks see of an observation, and which encoders there are."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from lockstep import make
from tensors import streams
from worlds import OBS, World, draw, image

from rlbench import registry
from rlbench.agents import A2C, DQN, PPO
from rlbench.errors import UserError
from rlbench.learning.environments.spaces import ObsSpec, check_readable
from rlbench.learning.networks.encoders import Encoder, EncoderConfig, parse
from rlbench.learning.networks.recurrent import CELLS

RNG = np.random.default_rng(0)


def config(**given: Any) -> EncoderConfig:
    return EncoderConfig.build("encoder", given)


def box(*shape: int) -> spaces.Box:
    return spaces.Box(-1.0, 1.0, shape, np.float32)


@pytest.mark.parametrize(
    ("space", "stack", "expected"),
    [
        (image(8, 9, 3), 1, (3, 8, 9)),
        (image(3, 8, 9), 1, (3, 8, 9)),
        (image(1, 36, 36), 1, (1, 36, 36)),
        (image(84, 84, 4), 1, (4, 84, 84)),
        (image(84, 84), 1, (1, 84, 84)),
        (image(4, 84, 84, 3), 1, (12, 84, 84)),
        (image(4, 84, 84), 1, (4, 84, 84)),
        (image(8, 9, 3), 4, (12, 8, 9)),
        (image(2, 8, 9, 3), 4, (24, 8, 9)),
        (box(3, 10, 10), 1, (3, 10, 10)),
        (box(10, 10), 1, None),  # floats of two axes are a table
        (image(7, 9, 3), 1, (3, 7, 9)),
        (image(6, 9, 3), 1, None),
        (image(9, 6, 3), 1, None),
        (image(64), 1, None),
        (box(5), 3, None),
    ],
)
def test_what_is_an_image(space: Any, stack: int, expected: Any) -> None:
    spec = ObsSpec(space, stack)
    assert spec.parts[0].image == expected
    assert spec.features == stack * int(np.prod(space.shape))


@pytest.mark.parametrize("shape", [(8, 9, 3), (3, 8, 9), (2, 8, 9, 3), (2, 3, 8, 9), (8, 9)])
@pytest.mark.parametrize("stack", [1, 3])
def test_pictures_have_their_pixels_in_place(shape: tuple[int, ...], stack: int) -> None:
    """Channels first, frames outermost, scaled to [0, 1]: pixel by pixel."""
    spec = ObsSpec(image(*shape), stack)
    seen = RNG.integers(256, size=(2, 2, *spec.seen), dtype=np.uint8)
    found = spec.picture(torch.from_numpy(seen), spec.parts[0])
    assert found.dtype == torch.float32
    frames = seen.reshape(2, 2, stack, *shape)
    if len(shape) < 4:
        frames = frames[:, :, :, None]
    frames = frames.reshape(2, 2, -1, *frames.shape[4:])  # all frames on one axis
    sides = frames.shape[3:]
    channels = 1 if len(sides) == 2 else min(sides[0], sides[2])
    assert found.shape == (2, 2, frames.shape[2] * channels, 8, 9)
    for f, c, y, x in np.ndindex(frames.shape[2], channels, 8, 9):
        where = (y, x) if len(sides) == 2 else (y, x, c) if sides[2] < sides[0] else (c, y, x)
        truth = frames[(slice(None), slice(None), f, *where)] / 255
        np.testing.assert_allclose(found[:, :, f * channels + c, y, x], truth, rtol=1e-6)


@pytest.mark.parametrize(
    "space", [spaces.Discrete(4, start=2), spaces.MultiDiscrete([2, 3, 2], start=[1, 0, 5])]
)
@pytest.mark.parametrize("stack", [1, 2])
def test_categories_are_one_hot(space: Any, stack: int) -> None:
    spec = ObsSpec(space, stack)
    start, sizes = np.ravel(space.start), spec.parts[0].sizes
    some = [np.ravel(RNG.integers(sizes)) + start for _ in range(stack)]
    stored = np.stack([spec.array(s if len(s) > 1 else s[0]) for s in some])
    seen = stored if stack > 1 else stored[0]
    expected: list[float] = []
    for each in some:
        for value, first, size in zip(each, start, sizes, strict=True):
            expected += [float(value - first == i) for i in range(size)]
    found = spec.flat_array(np.ascontiguousarray(seen[None, None]))
    assert found.dtype == np.float32
    assert found[0, 0].tolist() == expected
    tensor = spec.flat(torch.from_numpy(seen[None, None].copy()), spec.parts[0])
    assert tensor[0, 0].tolist() == expected


NESTED = spaces.Dict(
    {
        "b": spaces.Tuple([box(2), spaces.Discrete(3, start=1)]),
        "a": image(8, 8, 1),
        "c": spaces.Dict({"x": spaces.MultiBinary(2), "y": image(9)}),
    }
)


def test_parts_of_nested_spaces() -> None:
    """Each part reads its own columns of what `flatten` wrote; a small uint8 vector is scaled."""
    spec = ObsSpec(NESTED)
    NESTED.seed(3)
    obs = NESTED.sample()
    seen = torch.from_numpy(spec.array(obs).astype(np.float32))[None, None]
    kinds = [part.image for part in spec.parts]
    assert kinds.count((1, 8, 8)) == 1
    found: dict[str, list[np.ndarray]] = {}
    for part in spec.parts:
        name = "image" if part.image else str(part.features(1))
        found.setdefault(name, []).append(spec.flat(seen, part)[0, 0].numpy())
    np.testing.assert_allclose(found["image"][0], obs["a"].ravel() / 255, rtol=1e-6)
    np.testing.assert_allclose(found["9"][0], obs["c"]["y"] / 255, rtol=1e-6)
    assert found["3"][0].tolist() == [float(obs["b"][1] == 1 + i) for i in range(3)]
    two = [part.tolist() for part in found["2"]]
    assert obs["b"][0].tolist() in two
    assert [float(x) for x in obs["c"]["x"]] in two
    assert sum(part.features(1) for part in spec.parts) == spec.features == 64 + 9 + 3 + 2 + 2


def test_a_branch_for_every_image() -> None:
    """Convolutions for images, the rest beside them, all joined; `mlp` flattens everything."""
    spaces_ = spaces.Dict({"one": image(8, 8, 1), "two": image(3, 9, 9), "pose": box(2)})
    encoder: Any = Encoder(streams(0, 1), ObsSpec(spaces_), config())
    assert len(encoder.convolutions) == 2
    width = 64 * 2 * 2 * 2 + 2
    assert encoder.mlp.layers[0].weight.shape == (2, width, 128)
    flat: Any = Encoder(streams(0), ObsSpec(spaces_), config(encoder="mlp"))
    assert flat.mlp.layers[0].weight.shape[1] == 64 + 243 + 2
    nature = Encoder(streams(0), ObsSpec(image(1, 40, 40)), config())
    assert nature.features == 512
    assert Encoder(streams(0), ObsSpec(image(40, 40)), config(cnn="small")).features == 128


@pytest.mark.parametrize("name", OBS)
@pytest.mark.parametrize("memory", ["", "+gru"])
@pytest.mark.parametrize("stack", [1, 2])
def test_acting_is_learning(name: str, memory: str, stack: int) -> None:
    """`act` on arrays agrees with the tensors that learn, for all kinds of observations."""
    agent = make(DQN, lambda: World(name), 2, encoder=f"auto{memory}", frame_stack=stack,
                 hidden_size=4, batch_size=32)  # fmt: skip
    spec, net, rng = agent.spec, agent.q, np.random.default_rng(0)
    stored = [np.ravel(spec.array(draw(spec.space, rng))) for _ in range(6 * stack)]
    seen = np.stack(stored).astype(spec.dtype).reshape(2, 3, *spec.seen)
    state = rng.standard_normal((2, 3, net.state_size)).astype(np.float32)
    values, after = net.act(seen, state, agent.device)
    with torch.no_grad():
        obs, start = torch.from_numpy(seen), torch.from_numpy(state)
        expected = net.after(obs, start) if net.state_size else net(obs)
        if net.state_size:
            _, its = net.unroll(obs[:, :, None], start, torch.zeros(2, 3, 1))
            np.testing.assert_allclose(after, its, atol=1e-5)
    np.testing.assert_allclose(values, expected, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("lstmm", "Did you mean 'lstm'"),
        ("transformer", "There are auto, mlp, cnn"),
        ("cnn+lstmm", "unknown memory 'lstmm': use rnn, gru, lstm, attention"),
        ("lstm+gru", "no such encoder"),
        (7, "must be the name"),
        ("", "no such encoder"),
    ],
)
def test_unknown_encoders_are_refused_in_one_line(name: Any, said: str) -> None:
    with pytest.raises(UserError, match=said) as error:
        make(PPO, World, encoder=name)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("encoder", ["cnn", "cnn+lstm"])
def test_convolutions_without_an_image_are_refused(encoder: str) -> None:
    use = {"cnn": "use mlp", "cnn+lstm": "use lstm"}[encoder]
    for kind in (A2C, DQN):
        with pytest.raises(UserError, match=f"needs images, .*: {use}"):
            make(kind, World, encoder=encoder)
    with pytest.raises(UserError, match="8 x 9 pixels is too small for cnn=nature"):
        make(A2C, lambda: World("image"), cnn="nature")


def test_encoder_names_are_parsed_and_listed() -> None:
    """How names are read; the catalogue lists what is accepted, and all of it."""
    assert parse("cnn+lstm") == ("cnn", "lstm")
    assert parse("gru") == ("auto", "gru")
    assert parse("a.b:C+rnn") == ("a.b:C", "rnn")
    assert parse("mlp") == ("mlp", None)
    for name in registry.ENCODERS:
        if ":" not in name:
            assert config(encoder=name).encoder == name
    assert set(registry.ENCODERS) >= {"auto", "mlp", "cnn", *CELLS, "attention", "cnn+lstm"}


def test_spaces_that_nobody_reads_are_refused() -> None:
    for space in (spaces.Graph(box(2), None), spaces.Sequence(box(2))):
        with pytest.raises(UserError, match="no network can read"):
            check_readable(space)
