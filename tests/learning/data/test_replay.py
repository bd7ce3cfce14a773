"""Replay memory: every field of a transition carries the transition's number."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st
from lockstep import differences, flat
from scipy import stats
from transitions import FIELDS, transition

from rlbench.learning import checkpoint
from rlbench.learning.data.replay import Replay, replay_bytes, transition_fields
from rlbench.learning.environments.spaces import ObsSpec
from rlbench.learning.rng import RandomStream


def replay(seeds: Any = (0, 1), capacity: int = 20, n_envs: int = 1, batch: int = 8) -> Replay:
    draws = RandomStream(seeds, "replay", (batch,), block=4)
    return Replay(capacity, FIELDS, n_envs, draws, torch.device("cpu"))


def fill(memory: Replay, steps: int, seeds: int = 2) -> None:
    for number in range(steps):
        memory.add(**transition(number, seeds, memory.n_envs))


def check(batch: dict[str, torch.Tensor], stored: set[int], size: int) -> None:
    """Every field tells of the same transition, of the right seed, and one that is stored."""
    name = batch["action"].numpy()  # (S, B)
    assert name.shape == (len(name), size)
    for row, names in enumerate(name):
        assert set((names - 1000 * row).tolist()) <= stored
    for field, (shape, dtype) in FIELDS.items():
        assert batch[field].shape == (*name.shape, *shape)
        assert batch[field].numpy().dtype == dtype
    np.testing.assert_array_equal(batch["obs"], name[..., None] + [0.0, 0.25, 0.5])
    np.testing.assert_array_equal(batch["next_obs"], batch["obs"].numpy() + 1)
    np.testing.assert_array_equal(batch["reward"], (name / 8).astype(np.float32))
    np.testing.assert_array_equal(batch["index"], np.stack([name, -name], -1))
    image = (name[..., None, None, None] + np.arange(12).reshape(2, 3, 2)) % 256
    np.testing.assert_array_equal(batch["image"], image)


@settings(deadline=None, max_examples=40)
@given(
    steps=st.integers(1, 45), capacity=st.integers(1, 20), n_envs=st.integers(1, 4),
    seeds=st.integers(1, 3),
)  # fmt: skip
def test_samples_are_whole_transitions_of_the_latest(
    steps: int, capacity: int, n_envs: int, seeds: int
) -> None:
    """Alignment, wrap-around, only what was written, any number of lanes; seeds never mix."""
    memory = replay(tuple(range(seeds)), capacity, n_envs)
    fill(memory, steps, seeds)
    whole = max(capacity // n_envs, 1) * n_envs  # steps of all lanes, never a part of one
    latest = set(range(max(steps * n_envs - whole, 0), steps * n_envs))
    for _ in range(3):
        check(memory.sample(), latest, 8)
    assert memory.size == min(steps * n_envs, whole)


def test_a_misaligned_field_is_caught() -> None:
    """Negative control: one field shifted by one entry fails the check."""
    memory = replay()
    fill(memory, 15)
    kind, columns, _ = memory.columns["reward"]
    memory.data[kind][..., columns] = memory.data[kind][..., columns].roll(1, dims=1)
    with pytest.raises(AssertionError):
        check(memory.sample(), set(range(15)), 8)


@pytest.mark.parametrize("steps", [7, 20, 33])
def test_sampling_is_uniform_over_what_is_stored(steps: int) -> None:
    """Chi-square over 16,000 draws of each seed, partly filled, full and wrapped."""
    memory = replay(capacity=20, batch=400)
    fill(memory, steps)
    drawn = torch.cat([memory.sample()["action"].clone() for _ in range(40)], -1).numpy()
    for row in range(2):
        names, counts = np.unique(drawn[row], return_counts=True)
        assert len(names) == min(steps, 20)
        assert stats.chisquare(counts).pvalue > 1e-3


def test_seeds_draw_their_own_entries() -> None:
    memory = replay((4, 5))
    fill(memory, 20)
    drawn = memory.sample()["action"].numpy()
    assert (drawn[0] != drawn[1] - 1000).any()
    other = replay((5,))
    for number in range(20):
        other.add(**{key: value[:1] for key, value in transition(number, 1, 1).items()})
    np.testing.assert_array_equal(other.sample()["action"][0], drawn[1] - 1000)


@pytest.mark.parametrize("steps", [5, 20, 29])
def test_state_comes_back(steps: int, tmp_path: Any) -> None:
    """Through a file: the same draws, and the same entries overwritten afterwards."""
    memory, other = replay(), replay()
    fill(memory, steps)
    memory.sample()
    file = checkpoint.save(tmp_path / "replay.npz", memory.state())
    other.restore(checkpoint.load(file))
    for number in range(steps, steps + 9):
        for some in (memory, other):
            some.add(**transition(number, 2, 1))
        one, two = memory.sample(), other.sample()
        assert differences(one, two) == []
        check(two, set(range(max(number - 19, 0), number + 1)), 8)


def test_a_saved_memory_is_as_large_as_what_is_stored() -> None:
    memory = replay(capacity=20)
    fill(memory, 4)
    assert all(data.shape[1] == 4 for data in memory.state()["data"].values())


def test_bytes_are_told_right() -> None:
    memory = replay((0, 1, 2), capacity=20)
    taken = sum(data.numel() * data.element_size() for data in memory.data.values())
    assert replay_bytes(3, 20, FIELDS) == taken


def test_one_seed_of_a_state_is_its_memory() -> None:
    """Selecting a row of the state gives that seed's memory and stream."""
    memory, one = replay((0, 1)), replay((1,))
    fill(memory, 30)
    one.restore(checkpoint.select(memory.state(), [1]))
    np.testing.assert_array_equal(one.sample()["action"][0], memory.sample()["action"][1])


def test_images_are_stored_once() -> None:
    """Four stacked frames of 84x84, 100,000 of them: 0.7 GB, told beforehand and taken."""
    spec = ObsSpec(spaces.Box(0, 255, (84, 84), np.uint8), stack=4)
    fields = transition_fields(spec, 0, 0.99)
    assert 0.7e9 < replay_bytes(1, 100_000, fields) < 0.71e9
    memory = Replay(
        50, fields, 2, RandomStream([0, 1], "replay", (4,)), torch.device("cpu"), stack=spec.stack
    )
    assert memory.frames is not None
    told = replay_bytes(2, 50, fields)
    taken = [*memory.data.values(), memory.frames.data]
    assert sum(data.numel() * data.element_size() for data in taken) == told
    # A saved memory holds no frame twice, but for the newest successors.
    blank = np.zeros((2, 2, 84, 84), np.uint8)
    for t in range(10):
        memory.add(
            obs=blank, next_obs=blank, reward=np.zeros((2, 2)), action=np.zeros((2, 2)),
            terminated=np.zeros((2, 2), bool), first=np.full((2, 2), t == 0),
        )  # fmt: skip
    saved = sum(leaf.nbytes for _, leaf in flat(memory.state()) if isinstance(leaf, np.ndarray))
    assert saved < (20 + 2) * 2 * (7056 + 40)
