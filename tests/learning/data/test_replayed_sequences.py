"""Replayed frames and sequences against a naive memory that keeps everything in lists."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from lockstep import differences, train
from stacked_frames import M, naive_stack, spec_of
from worlds import World

from rlbench.agents import DQN
from rlbench.errors import UserError
from rlbench.learning.data.prioritized_replay import PrioritizedReplay
from rlbench.learning.data.replay import Replay, transition_fields
from rlbench.learning.rng import RandomStream


class Oracle:
    """All transitions of all lanes in lists; a ring that holds the latest `capacity` of them."""

    def __init__(self, seeds: int, lanes: int, stack: int) -> None:
        self.lanes, self.stack = lanes, stack
        self.kept: dict[tuple[int, int], list[dict[str, Any]]] = {
            key: [] for key in np.ndindex(seeds, lanes)
        }
        self.starts: dict[tuple[int, int], list[np.ndarray]] = {}

    def add(self, values: dict[str, np.ndarray]) -> None:
        for (s, n), kept in self.kept.items():
            entry = {name: value[s, n] for name, value in values.items()}
            if entry["first"]:
                self.starts[s, n] = []
            self.starts[s, n].append(entry["obs"])
            episode = list(self.starts[s, n])
            entry["stacked"] = naive_stack(episode, self.stack)
            entry["following"] = naive_stack([*episode, entry["next_obs"]], self.stack)
            kept.append(entry)


def check_samples(
    replay: Replay, oracle: Oracle, batch: dict[str, torch.Tensor], stored: int
) -> None:
    """Each sample is `length` successive transitions of one lane, all of them still stored."""
    length, stack = replay.length, oracle.stack
    lead = batch["action"].shape
    for s, b in np.ndindex(*lead[:2]):
        row = {name: value[s, b].numpy() for name, value in batch.items()}
        row = {name: value if replay.timed else value[None] for name, value in row.items()}
        n, begin = divmod(int(row["action"][0]), 1000)
        kept = oracle.kept[s, n]
        oldest = len(kept) - stored
        assert oldest <= begin <= len(kept) - length
        for t in range(length):
            truth = kept[begin + t]
            for name in ("reward", "terminated", "action", "first", "memory"):
                np.testing.assert_array_equal(row[name][t], truth[name])
            obs, following = truth["stacked"], truth["following"]
            np.testing.assert_array_equal(row["obs"][t], obs if stack > 1 else obs[0])
            if truth["terminated"] and replay.frames is not None:
                continue  # its successor is worth nothing, and is not stored
            np.testing.assert_array_equal(
                row["next_obs"][t], following if stack > 1 else following[0]
            )


def check_targets(replay: Replay, oracle: Oracle, batch: dict[str, torch.Tensor]) -> None:
    """Of each sample the first observation, all rewards, and the successor where the n steps or
    their episode end."""
    for s, b in np.ndindex(*batch["action"].shape):
        n, begin = divmod(int(batch["action"][s, b]), 1000)
        steps = oracle.kept[s, n][begin : begin + replay.length]
        np.testing.assert_array_equal(batch["reward"][s, b], [step["reward"] for step in steps])
        np.testing.assert_array_equal(batch["first"][s, b], [step["first"] for step in steps])
        ends = [t for t in range(1, len(steps)) if steps[t]["first"]] or [len(steps)]
        end = steps[ends[0] - 1]
        whole = (..., slice(None)) if oracle.stack > 1 else (0,)
        np.testing.assert_array_equal(batch["obs"][s, b], steps[0]["stacked"][whole])
        if not end["terminated"]:
            np.testing.assert_array_equal(batch["next_obs"][s, b], end["following"][whole])


def replayed(
    length: int,
    stack: int,
    lanes: int,
    room: int,
    steps: int,
    entropy: int,
    dtype: Any,
    once: bool = False,
    kind: Any = Replay,
    **given: Any,
) -> tuple[Any, Oracle, int]:
    """A replay with random episodes in it, and the oracle that saw the same; `once`: observations
    are stored once, as images are."""
    rng, seeds = np.random.default_rng(entropy), 2
    capacity = (length + stack - 1 + room) * lanes
    draws = RandomStream(range(seeds), "replay", (9,), block=4)
    fields = transition_fields(spec_of(stack, dtype), M, 0.99)
    if once:
        fields.pop("next_obs", None)
    replay = kind(capacity, fields, lanes, draws, torch.device("cpu"), length, stack, **given)
    oracle = Oracle(seeds, lanes, stack)
    first, lead, obs = np.ones((seeds, lanes), bool), (seeds, lanes), np.zeros(())
    for t in range(steps):
        start, next_obs = rng.integers(256, size=(2, *lead, 2)).astype(dtype)
        obs = np.where(first[..., None], start, obs)
        values = {
            "obs": obs, "next_obs": next_obs, "reward": rng.random(lead).astype(np.float32),
            "terminated": rng.random(lead) < 0.2, "first": first,
            "action": np.broadcast_to(1000 * np.arange(lanes) + t, lead),
            "memory": rng.random((*lead, M)).astype(np.float32),
        }  # fmt: skip
        replay.add(**values)
        oracle.add(values)
        first, obs = values["terminated"] | (rng.random(lead) < 0.1), next_obs
    return replay, oracle, capacity // lanes


@settings(deadline=None, max_examples=60)
@given(
    length=st.integers(1, 4), stack=st.integers(1, 4), lanes=st.integers(1, 3),
    room=st.integers(0, 6), steps=st.integers(1, 40), entropy=st.integers(0, 2**31),
    dtype=st.sampled_from([np.float32, np.uint8]), once=st.booleans(),
    kind=st.sampled_from([{}, {"kind": PrioritizedReplay, "alpha": 0.6, "eps": 1e-3}]),
)  # fmt: skip
def test_replayed_sequences(
    length: int, stack: int, lanes: int, room: int, steps: int, entropy: int, dtype: Any,
    once: bool, kind: dict[str, Any],
) -> None:  # fmt: skip
    """Obs, next_obs, first and memory, never across the place that is written next."""
    replay, oracle, whole = replayed(
        length, stack, lanes, room, steps, entropy, dtype, once, **kind
    )
    stored = min(steps, whole)
    assert replay.ready() == (stored >= length)
    assert (replay.frames is not None) == (once or stack > 1)
    if replay.ready():
        for _ in range(2):
            check_samples(replay, oracle, replay.sample(), stored)
            if kind:
                replay.update(torch.arange(18.0).view(2, 9) % 7)
        if length > 1:
            replay.whole = False
            check_targets(replay, oracle, replay.sample())


@settings(deadline=None, max_examples=30)
@given(
    length=st.integers(1, 3), stack=st.integers(1, 3), lanes=st.integers(1, 3),
    steps=st.integers(4, 30), entropy=st.integers(0, 2**31),
    kind=st.sampled_from([{}, {"kind": PrioritizedReplay, "alpha": 0.6, "eps": 1e-3}]),
)  # fmt: skip
def test_a_memory_comes_back(
    length: int, stack: int, lanes: int, steps: int, entropy: int, kind: dict[str, Any]
) -> None:
    """Saved and restored, with frames stored apart and priorities: the same samples from there on,
    and of one seed alone as well."""
    given: tuple[Any, ...] = (length, stack, lanes, 3, steps, entropy, np.uint8, True)
    replay, _, _ = replayed(*given, **kind)
    if not replay.ready():
        return
    if kind:
        replay.sample()
        replay.update(torch.arange(18.0).view(2, 9))
    other, _, _ = replayed(length, stack, lanes, 3, 0, 0, np.uint8, True, **kind)
    other.restore(replay.state())
    assert differences(replay.state(), other.state()) == []
    rng, lead = np.random.default_rng(entropy), (2, lanes)
    for _ in range(5):
        obs, next_obs = rng.integers(256, size=(2, *lead, 2)).astype(np.uint8)
        step = {
            "obs": obs, "next_obs": next_obs, "reward": rng.random(lead).astype(np.float32),
            "terminated": rng.random(lead) < 0.3, "first": rng.random(lead) < 0.5,
            "action": rng.integers(9, size=lead), "memory": rng.random((*lead, M)),
        }  # fmt: skip
        for some in (replay, other):
            some.add(**step)
        assert differences(dict(replay.sample()), dict(other.sample())) == []
    assert differences(replay.state(), other.state()) == []


def test_every_sequence_comes_up() -> None:
    """All beginnings that are possible, in all lanes, and about equally often."""
    length, stack, lanes, whole = 3, 2, 2, 9
    replay, _, capacity = replayed(length, stack, lanes, whole - 4, 31, 0, np.float32)
    assert capacity == whole
    drawn = torch.cat([replay.sample()["action"][0, :, 0].clone() for _ in range(300)]).numpy()
    names, counts = np.unique(drawn, return_counts=True)
    begins = range(31 - whole + stack - 1, 31 - length + 1)
    assert names.tolist() == [1000 * n + t for n in range(lanes) for t in begins]
    assert counts.min() > 0.7 * counts.mean()


def test_frames_of_another_episode_would_be_caught() -> None:
    """Negative control: with the marks of beginnings erased, the oracle objects."""
    replay, oracle, _ = replayed(2, 3, 2, 5, 30, 1, np.float32)
    kind, columns, _ = replay.columns["first"]
    replay.data[kind][..., columns] = 0.0
    for kept in oracle.kept.values():
        for entry in kept:
            entry["first"] = np.False_
    with pytest.raises(AssertionError):
        check_samples(replay, oracle, replay.sample(), 9)


def test_a_memory_that_is_too_small_is_refused() -> None:
    fields = transition_fields(spec_of(4), M, 0.99)
    draws = RandomStream([0], "replay", (1,))
    with pytest.raises(UserError, match=r"buffer_size=26 .* at least 27"):
        Replay(26, fields, 3, draws, torch.device("cpu"), 6, 4)
    Replay(27, fields, 3, draws, torch.device("cpu"), 6, 4)


def test_sequences_of_one_step_are_sequences() -> None:
    agent, _ = train(
        World, 2, 40, encoder="gru", sequence_length=1, burn_in=0, batch_size=6, hidden_size=4
    )
    assert agent.replay.sample()["memory"].shape == (2, 6, 1, 4)
    agent.update()


@pytest.mark.parametrize("obs", ["vector", "image", "mixed"])
@pytest.mark.parametrize("encoder", ["auto", "auto+gru"])
def test_what_is_replayed_is_what_was_seen(obs: str, encoder: str) -> None:
    """DQN's own transitions: each memory is the network's after the one before, with the weights
    of then; nothing has been learned here, so with the weights of now."""
    agent, _ = train(
        lambda: World(obs), 2, 40, n_envs=2, learning_starts=1000, encoder=encoder, frame_stack=2,
        hidden_size=4, sequence_length=3, burn_in=0, batch_size=6,
    )  # fmt: skip
    batch = agent.replay.sample()
    assert batch["obs"].shape[-len(agent.spec.seen) :] == agent.spec.seen
    if not agent.q.state_size:
        return
    obs_, first, memory = batch["obs"], batch["first"], batch["memory"]
    with torch.no_grad():
        _, after = agent.q.encoder.unroll(obs_, memory[:, :, 0], first)
    inside = first[:, :, 1:] == 0
    torch.testing.assert_close(after[:, :, :-1][inside], memory[:, :, 1:][inside])
    assert inside.any()
    assert (memory[first == 1] == 0).all()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"n_steps": 3, "gamma": 0.0}, "no later rewards"),
        ({"n_steps": 9, "encoder": "lstm", "sequence_length": 8}, "more than sequence_length=8"),
        ({"n_steps": 0}, "n_steps=0"),
    ],
)
def test_steps_that_are_not_there_are_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        DQN("CartPole-v1", **given)
