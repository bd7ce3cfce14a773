"""Replay in device memory against `Replay`: the same batches and the same state, step for step."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from graph_emulator import emulated
from gymnasium import spaces
from lockstep import differences

from rlbench.learning import checkpoint
from rlbench.learning.data import device_frames
from rlbench.learning.data.device_replay import DeviceReplay
from rlbench.learning.data.replay import Replay, transition_fields
from rlbench.learning.environments.spaces import ObsSpec
from rlbench.learning.networks.encoders import EncoderConfig
from rlbench.learning.rng import RandomStream

CPU, LANES, SEEDS = torch.device("cpu"), 2, (3, 4)
FORMS: dict[str, dict[str, Any]] = {
    "vectors": {},
    "n steps": {"length": 3, "whole": False},
    "sequences": {"length": 4, "memory": 2},
    "frames": {"stack": 3, "image": True},
    "n steps of frames": {"stack": 2, "image": True, "length": 3, "whole": False},
    "sequences of images": {"image": True, "length": 3, "memory": 2},
}


def made(
    kind: Any, stack: int = 1, memory: int = 0, image: bool = False, length: int = 1,
    whole: bool = True,
) -> Any:  # fmt: skip
    box = spaces.Box(0, 255, (8, 8, 1), np.uint8) if image else spaces.Box(-1.0, 1.0, (3,))
    spec = ObsSpec.of(box, EncoderConfig.build("replay", {"frame_stack": stack}))
    n_steps = 1 if whole else length
    fields = transition_fields(spec, memory, 0.9, n_steps)
    uniforms = RandomStream(SEEDS, "replay", (5,), block=16)
    return kind(40, fields, LANES, uniforms, CPU, length, stack, whole)


def lane_steps(replay: Any, rng: np.random.Generator) -> Any:
    """One step of every lane; episodes are short, and most of them are truncated."""
    lead, first = (len(SEEDS), LANES), np.ones((len(SEEDS), LANES), bool)
    shape = (3,) if replay.frames is None else replay.frames.shape

    def draw() -> np.ndarray:
        if len(shape) > 1:
            return rng.integers(256, size=(*lead, *shape), dtype=np.uint8)
        return rng.standard_normal((*lead, *shape)).astype(np.float32)

    obs = draw()
    while True:
        following = draw()
        terminated, truncated = rng.random(lead) < 0.1, rng.random(lead) < 0.4
        yield {"obs": obs, "next_obs": following, "first": first, "terminated": terminated,
               "reward": rng.standard_normal(lead).astype(np.float32),
               "action": rng.integers(4, size=lead),
               "memory": rng.standard_normal((*lead, 2)).astype(np.float32)}  # fmt: skip
        first = terminated | truncated
        obs = np.where(first.reshape(*lead, *[1] * len(shape)), draw(), following)


def batch_of(replay: Any) -> dict[str, Any]:
    if isinstance(replay, DeviceReplay):
        replay.draws.ready()
    return {name: value.clone() for name, value in replay.sample().items()}


@pytest.mark.parametrize("form", FORMS)
def test_the_same_batches(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Through growth of the pool, several rounds of the ring, and a restart from a file."""
    monkeypatch.setattr(device_frames, "SPARE", 2)
    plain = made(Replay, **FORMS[form])
    with emulated():
        device, rng = made(DeviceReplay, **FORMS[form]), np.random.default_rng(0)
        for number, step in zip(range(130), lane_steps(plain, rng), strict=False):
            plain.add(**step)
            device.add(**step)
            if number == 70:
                state = checkpoint.select(device.state(), [0, 1])
                device = made(DeviceReplay, **FORMS[form])
                device.restore(state)
            if plain.ready():
                assert differences(batch_of(plain), batch_of(device)) == []
            assert differences(plain.state(), device.state()) == []
        assert (plain.frames is None) == (form in ("vectors", "n steps", "sequences"))
        if plain.frames is not None:
            assert device.frames.pool.shape[1] > 2 * LANES + 2


def test_successors_of_interrupted_episodes_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control: without them a batch differs."""
    lost = lambda self, position, first, terminated: np.full(first.shape, -1)  # noqa: E731
    monkeypatch.setattr(device_frames.DeviceFrames, "admit", lost)
    plain, found = made(Replay, **FORMS["frames"]), 0
    with emulated():
        device = made(DeviceReplay, **FORMS["frames"])
        rng = np.random.default_rng(0)
        for _, step in zip(range(40), lane_steps(plain, rng), strict=False):
            plain.add(**step)
            device.add(**step)
            found += differences(batch_of(plain), batch_of(device)) != []
    assert found > 10
