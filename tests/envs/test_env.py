"""Image environments as Gymnasium has them: single, in vectors, registered and checked."""

from __future__ import annotations

import subprocess
import sys
import warnings
from typing import Any

import gymnasium
import numpy as np
import pytest
from commands import ROOT, environment
from gymnasium.utils.env_checker import check_env
from image_oracle import CASES, NOISE_OPTIONS, batch, case_id, known, lane_of, same
from stable_baselines3.common.env_checker import check_env as check_env_sb3

import rlbench.envs
from rlbench.envs.images import batch as batch_module
from rlbench.envs.images.env import VARIANTS, ImageEnv, ImageVectorEnv

assert rlbench.envs
Case = tuple[str, dict[str, Any]]
every_case = pytest.mark.parametrize("case", CASES, ids=case_id)
IDS = [f"rlbench/{v}{d}-v0" for v in VARIANTS for d in ("", "-Digits", "-MNIST", "-FashionMNIST")]


@pytest.fixture(autouse=True)
def small_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_module, "load", known)


def single(case: Case, data: str = "toy", split: str = "train", **more: Any) -> ImageEnv:
    return ImageEnv(case[0], data, split, **case[1], **more)


def drawn(env: Any, steps: int) -> list[int]:
    return np.random.default_rng(steps).integers(int(env.action_space.n), size=steps).tolist()


@every_case
def test_one_environment_is_a_batch_of_one_lane(case: Case) -> None:
    """Restarted where it ends: the same observations, rewards and answers, with noise."""
    env, made = single(case, **NOISE_OPTIONS), batch(case, "toy", "train", (7,), 1, **NOISE_OPTIONS)
    obs, info = env.reset(seed=7)
    assert same(obs, lane_of(made.reset(), 0, 0))
    assert info == {}
    for action in drawn(env, 400):
        notes, out = made.notes(), made.step(np.array([[action]]))
        obs, reward, terminated, truncated, info = env.step(action)
        assert same(obs, lane_of(out.next_obs, 0, 0))
        assert (reward, terminated, truncated) == (
            out.reward[0, 0], out.terminated[0, 0], out.truncated[0, 0],
        )  # fmt: skip
        assert env.answer == (out.label[0, 0], out.right[0, 0], out.answered[0, 0])
        if terminated or truncated:
            said = {"label": out.label[0, 0], "right": out.right[0, 0]}
            assert info == said | {name: note[0, 0] for name, note in notes.items()}
            assert same(env.reset()[0], lane_of(out.obs, 0, 0))
        else:
            assert info == {}
    types = [type(value) for value in env.answer]
    assert types == [int, bool, bool]


def test_seeds_and_resets() -> None:
    """The same seed, the same images; without a seed the stream goes on, without one ever it is
    anew each time."""
    env, other = (ImageEnv("Classify", "digits") for _ in "ab")
    assert same(env.reset(seed=1)[0], other.reset(seed=1)[0])
    second = env.reset()[0]
    assert same(second, other.reset()[0])
    assert not same(second, env.reset()[0])
    assert not same(env.reset(seed=1)[0], other.reset(seed=2)[0])
    streams = {ImageEnv("Classify").reset()[0].tobytes() for _ in range(8)}
    assert len(streams) > 4


@every_case
def test_every_test_image_once(case: Case) -> None:
    """In their order, by `use` and by `index`; then from the beginning again."""
    env = single(case)
    env.reset(seed=0)
    env.use("test")
    assert env.split == "test"
    assert env.pass_steps == 13 * env.lane.steps
    env.reset()
    answered: list[int] = []
    while len(answered) < 26:
        image = int(env.lane.index[0, 0])
        _, _, terminated, truncated, info = env.step(0)
        answered += [image] if env.answer[2] else []
        if terminated or truncated:
            assert info["index"] == image
            env.reset()
    assert answered == [*range(13), *range(13)]
    env.reset(options={"index": 5})
    assert env.lane.index[0, 0] == 5
    with pytest.raises(ValueError, match="no image 13: the test split of toy has 0 to 12"):
        env.reset(options={"index": 13})


@every_case
def test_the_label_is_said_at_the_end_only(case: Case) -> None:
    env = single(case, split="validation")
    for _ in range(5):
        _, info = env.reset()
        steps, over = 0, False
        assert info == {}
        while not over:
            image = env.lane.index[0, 0]
            _, _, terminated, truncated, info = env.step(0)
            over, steps = terminated or truncated, steps + 1
            assert bool(info) == over
        expected = {"label": env.lane.truth[image], "right": env.lane.truth[image] == 0}
        expected["index"] = image
        if case[0] == "Retry":
            expected["tries"] = steps
        if case[0] == "Find":
            expected["overlap"] = info["overlap"]  # see test_find
        assert info == expected


@every_case
def test_they_go_on_where_they_were(case: Case) -> None:
    env, other = single(case, **NOISE_OPTIONS), single(case, **NOISE_OPTIONS)
    env.reset(seed=1)
    actions = drawn(env, 300)

    def go_on(env: ImageEnv, actions: list[int]) -> list[Any]:
        seen: list[Any] = []
        for action in actions:
            seen.append(env.step(action)[:4])
            if seen[-1][2] or seen[-1][3]:
                seen.append(env.reset()[0])
        return seen

    go_on(env, actions[:50])
    state = env.state()
    expected = go_on(env, actions[50:])
    other.reset(seed=2)
    assert not same(go_on(other, actions[50:]), expected)
    other.restore(state)
    assert same(go_on(other, actions[50:]), expected)


@pytest.mark.parametrize("case", [*CASES, ("Glimpse", {"canvas": True})], ids=case_id)
def test_checkers_accept_them(case: Case) -> None:
    env = gymnasium.make(f"rlbench/{case[0]}-Digits-v0", **case[1]).unwrapped
    check_env(env)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The minimal resolution for an image is 36x36")
        check_env_sb3(env)


def test_checkers_refuse_a_broken_one() -> None:
    """Negative control: one whose images are not those of its space."""

    class Broken(ImageEnv):
        def step(self, action: Any) -> Any:
            obs, *others = super().step(action)
            return obs[:, :4], *others

    for check, complaint in ((check_env, "obs"), (check_env_sb3, "shape")):
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "The minimal resolution for an image is 36x36")
            with pytest.raises((AssertionError, UserWarning), match=complaint):
                check(Broken())


def test_they_are_registered() -> None:
    for name in IDS:
        assert gymnasium.spec(name).max_episode_steps is None
    for variant in VARIANTS:
        env: Any = gymnasium.make(f"rlbench/{variant}-v0", data="toy", split="test")
        assert (env.unwrapped.variant, env.unwrapped.data.name) == (variant, "toy")
        envs: Any = gymnasium.make_vec(f"rlbench/{variant}-Digits-v0", 3, reward_noise=1.0)
        assert isinstance(envs, ImageVectorEnv)
        assert envs.reset(seed=0)[0] in envs.observation_space
        obs, reward, *_ = envs.step(envs.action_space.sample())
        assert obs in envs.observation_space
        assert reward.shape == (3,)
        assert reward.dtype == np.float64
    assert gymnasium.make("rlbench/Retry-Digits-v0", tries=5).unwrapped.lane.tries == 5  # type: ignore[attr-defined]


def test_registering_them_is_light() -> None:
    code = (
        "import sys, gymnasium; before = set(sys.modules); import envs; "
        "print(sorted(m for m in set(sys.modules) - before if 'rlbench' in m or 'sklearn' in m))"
    )
    ended = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=ROOT, env=environment(), capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert ended.stdout.strip() == "[]"


def test_mistakes_are_one_line() -> None:
    for make, message in (
        (lambda: ImageEnv("Classifier"), "variant must be 'Classify' or 'Stream' or"),
        (lambda: ImageEnv("Rows", tries=2), "Rows has no option 'tries': it has reward_noise"),
        (lambda: ImageEnv("Rows", render_mode="text"), "render_mode must be None or 'rgb_array'"),
        (lambda: ImageVectorEnv(0), "lanes must be at least 1, got 0"),
        (lambda: ImageVectorEnv(2, "Rows", "digits", "dev"), "split must be train or validation"),
    ):
        with pytest.raises(ValueError, match=message) as caught:
            make()
        assert "\n" not in str(caught.value)
    env = ImageEnv()
    env.reset(seed=0)
    for action in (-1, 10):
        with pytest.raises(ValueError, match=f"no action {action}: the space is Discrete"):
            env.step(action)


@pytest.mark.parametrize("case", [case for case in CASES if case[0] != "Find"], ids=case_id)
def test_render_shows_the_enlarged_image_after_the_end(case: Case) -> None:
    """The image in colours, enlarged; it is still there when its episode has ended."""
    env = single(case, render_mode="rgb_array")
    assert single(case).render() is None
    env.reset(seed=0)
    over, image = False, env.lane.pictures[0]
    while not over:
        image = env.lane.pictures[env.lane.index[0, 0]]
        picture: Any = env.render()
        assert (picture.shape, picture.dtype) == ((6 * 24, 9 * 24, 3), np.uint8)
        assert np.array_equal(picture[12::24, 12::24], image)
        _, _, terminated, truncated, _ = env.step(0)
        over = terminated or truncated
    last: Any = env.render()
    assert np.array_equal(last[12::24, 12::24], image) or case[0] in {"Stream", "Imbalanced"}
    grey = ImageEnv("Classify", "large", render_mode="rgb_array")
    grey.reset(seed=0)
    picture = grey.render()
    assert picture.shape == (224, 224, 3)
    assert np.array_equal(picture[::8, ::8], grey.lane.pictures[grey.lane.index[0, 0]].repeat(3, 2))
