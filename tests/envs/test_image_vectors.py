"""Vectors of image environments: what single ones do, and what Gymnasium's own vectors say."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from image_oracle import CASES, NOISE_OPTIONS, case_id, known, lane_of, same

from rlbench.envs.images import batch
from rlbench.envs.images.env import ImageEnv, ImageVectorEnv

Case = tuple[str, dict[str, Any]]
every_case = pytest.mark.parametrize("case", CASES, ids=case_id)


@pytest.fixture(autouse=True)
def small_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch, "load", known)


def single(case: Case, split: str = "train", **more: Any) -> ImageEnv:
    return ImageEnv(case[0], "toy", split, **case[1], **more)


def vector(case: Case, lanes: int, split: str, **more: Any) -> ImageVectorEnv:
    return ImageVectorEnv(lanes, case[0], "toy", split, **case[1], **more)


@every_case
def test_a_vector_is_single_environments(case: Case) -> None:
    """Each lane does what an environment does that begins with the same image and acts the same.

    In evaluation, where nothing is random; streams go on with the image that comes.
    """
    lanes, split = 5, "test"
    envs = vector(case, lanes, split)
    obs, _ = envs.reset(seed=3)
    ones = [single(case, split=split) for _ in range(lanes)]
    flows = case[0] in {"Stream", "Imbalanced"}
    for lane, one in enumerate(ones):
        first, _ = one.reset(options={"index": envs.batch.index[0, lane]})
        assert same(lane_of(obs, lane), first)
    ends = 0
    for action in np.random.default_rng(0).integers(envs.single_action_space.n, size=(90, lanes)):  # type: ignore[attr-defined]
        before = envs.batch.index[0].copy()
        obs, reward, terminated, truncated, info = envs.step(action)
        for lane, one in enumerate(ones):
            if flows:  # which image comes next depends on the other lanes
                one.lane.index = before[None, [lane]]
                one.lane.passes.place[:] = envs.batch.index[0, lane]
            got = one.step(action[lane])
            ended = got[2] or got[3]
            assert (reward[lane], terminated[lane], truncated[lane]) == got[1:4]
            assert ("final_obs" in info and info["_final_obs"][lane]) == ended
            last = info["final_obs"][lane] if ended else lane_of(obs, lane)
            assert same(last, got[0])
            if ended:
                final = info["final_info"]
                assert {k: final[k][lane] for k in got[4]} == got[4]
                assert all(final[f"_{k}"][lane] for k in got[4])
                begun = one.reset(options={"index": envs.batch.index[0, lane]})[0]
                assert same(lane_of(obs, lane), begun)
                ends += 1
    assert ends >= lanes


@every_case
def test_a_vector_looks_like_gymnasiums(case: Case) -> None:
    """With one lane nothing tells it from SyncVectorEnv: keys, types, masks and values."""
    ours = vector(case, 1, "train", **NOISE_OPTIONS)
    theirs: Any = SyncVectorEnv(
        [lambda: single(case, **NOISE_OPTIONS)], autoreset_mode=AutoresetMode.SAME_STEP
    )
    assert ours.observation_space == theirs.observation_space
    assert ours.action_space == theirs.action_space
    assert ours.metadata["autoreset_mode"] == AutoresetMode.SAME_STEP
    actions = np.random.default_rng(0).integers(int(theirs.single_action_space.n), size=300)
    obs, info = ours.reset(seed=5)
    assert same(obs, theirs.reset(seed=5)[0])
    assert info == {}
    assert obs in ours.observation_space
    for action in actions.tolist():
        *mine, mine_info = ours.step(np.array([action]))
        *other, other_info = theirs.step(np.array([action]))
        assert same(mine, other)
        assert mine_info.keys() == other_info.keys()
        for key in mine_info:
            if key != "final_obs":
                assert same(mine_info[key], other_info[key])
            else:
                assert same(mine_info[key][0], other_info[key][0])


def test_seeds_and_resets() -> None:
    """The same seed, the same images; without a seed the stream goes on."""
    envs, others = (ImageVectorEnv(3, "Classify", "digits") for _ in "ab")
    assert same(envs.reset(seed=1)[0], others.reset(seed=1)[0])
    second = envs.reset()[0]
    assert same(second, others.reset()[0])
    assert not same(second, envs.reset()[0])
    assert not same(envs.reset(seed=1)[0], others.reset(seed=2)[0])
    chosen, _ = envs.reset(options={"index": np.array([4, 4, 9])})
    assert same(chosen, known("digits").splits["train"].images[[4, 4, 9]])


def test_render_returns_an_image_per_lane() -> None:
    envs = ImageVectorEnv(2, "Classify", "toy", render_mode="rgb_array")
    envs.reset(seed=0)
    shown = envs.batch.pictures[envs.batch.index[0]]
    for picture, image in zip(envs.render(), shown, strict=True):
        assert np.array_equal(picture[12::24, 12::24], image)
    assert ImageVectorEnv(2).render() is None
