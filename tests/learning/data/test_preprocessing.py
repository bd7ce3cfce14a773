"""What policies carry: frames and memories in acting, against naive ones that keep everything."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from lockstep import make
from stacked_frames import M, naive_stack, spec_of
from worlds import World

from rlbench.agents import PPO
from rlbench.learning.data.preprocessing import LaneContext, ObservationPipeline
from rlbench.learning.environments.lanes import EnvLanes


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 4), st.integers(1, 3), st.integers(0, 2**31), st.sampled_from([0, M]))
def test_frames_in_acting(stack: int, lanes: int, entropy: int, memory: int) -> None:
    """Per lane and episode; memory is what was carried, and 0 where an episode begins."""
    rng, seeds = np.random.default_rng(entropy), 2
    perception = ObservationPipeline(spec_of(stack), memory)
    carry: Any = None
    first = np.zeros((seeds, lanes), bool)  # without a carry an episode begins in all lanes
    episodes: dict[tuple[int, int], list[np.ndarray]] = {}
    for t in range(12):
        obs = rng.standard_normal((seeds, lanes, 2)).astype(np.float32)
        seen, remembered, frames = perception.see(obs, carry, first)
        for s, n in np.ndindex(seeds, lanes):
            if first[s, n] or t == 0:
                episodes[s, n] = []
            episodes[s, n].append(obs[s, n])
            expected = naive_stack(episodes[s, n], stack)
            np.testing.assert_array_equal(seen[s, n], expected if stack > 1 else expected[0])
            begins = len(episodes[s, n]) == 1
            np.testing.assert_array_equal(remembered[s, n], [0.0 if begins else t] * memory)
        after = np.full((seeds, lanes, memory), t + 1, np.float32)
        carry = (*frames, after) if memory else frames
        successor = rng.standard_normal((seeds, lanes, 2)).astype(np.float32)
        ahead = perception.peek(successor, carry)
        for s, n in np.ndindex(seeds, lanes):
            expected = naive_stack([*episodes[s, n], successor[s, n]], stack)
            np.testing.assert_array_equal(ahead[s, n], expected if stack > 1 else expected[0])
        first = rng.random((seeds, lanes)) < 0.3


def test_a_frame_stack_is_not_shared_between_carries() -> None:
    """What was carried stays as it was: a policy may go on twice from the same state."""
    perception = ObservationPipeline(spec_of(3), 0)
    obs, first = np.ones((1, 2, 2), np.float32), np.zeros((1, 2), bool)
    _, _, carry = perception.see(obs, None, first)
    before = carry[0].copy()
    one, _, _ = perception.see(2 * obs, carry, first)
    np.testing.assert_array_equal(carry[0], before)
    two, _, _ = perception.see(2 * obs, carry, first)
    np.testing.assert_array_equal(one, two)
    perception.see(3 * obs, carry, ~first)
    np.testing.assert_array_equal(carry[0], before)


def test_a_lookout_comes_back() -> None:
    look, other = (LaneContext(spec_of(2), M, (1, 2), None) for _ in range(2))
    other.restore(look.state())
    assert other.carry is None
    look.carry = (np.ones((1, 2, 2, 2)), np.ones((1, 2, M)))
    look.episode_start = np.array([[True, False]])
    other.restore(look.state())
    assert other.carry is not None
    assert [part.shape for part in other.carry] == [(1, 2, 2, 2), (1, 2, M)]
    np.testing.assert_array_equal(other.episode_start, look.episode_start)


def test_a_rollout_holds_what_was_seen() -> None:
    """Lanes, frames and memory by hand, step by step, equal what PPO keeps."""
    agent = make(PPO, World, 2, n_envs=2, n_steps=12, frame_stack=3, sequence_length=4,
                 encoder="lstm", hidden_size=4, share_encoder=True)  # fmt: skip
    agent.set_horizon(1000)
    lanes, kept = EnvLanes(World, agent.seeds, 2), agent.rollout.arrays
    obs, episodes = lanes.reset(), {key: [] for key in np.ndindex(2, 2)}  # type: ignore[var-annotated]
    for t in range(11):
        for key, episode in episodes.items():
            episode.append(obs[key])
        agent.observe(lanes.step(agent.act(obs)))
        for key, episode in episodes.items():
            seen = kept["seen"][(*key, t)]
            np.testing.assert_array_equal(seen, naive_stack(episode, 3))
            assert kept["first"][(*key, t)] == (len(episode) == 1)
            if kept["ended"][(*key, t)]:
                episode.clear()
        obs = lanes.obs
    lanes.close()
    seen, first = (torch.from_numpy(kept[name].reshape(2, 2, 12, *kept[name].shape[3:]))
                   for name in ("seen", "first"))  # fmt: skip
    with torch.no_grad():
        _, after = agent.net.actor.unroll(seen, torch.zeros(2, 2, 8), first)
    for i in (1, 2):  # the memory before the first step of the second and third sequence
        begins = first[:, :, 4 * i, None] == 1
        expected = torch.where(begins, torch.zeros(8), after[:, :, 4 * i - 1])
        np.testing.assert_allclose(kept["memory"][:, :, i], expected, atol=1e-5)
    assert (kept["memory"][:, :, 0] == 0).all()
    assert (kept["memory"][:, :, 1:] != 0).any()
