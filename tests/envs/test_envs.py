"""Our own environments: their optimum is reached, and whoever cannot know is where he must be."""

from __future__ import annotations

import subprocess
import sys
import warnings
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
import pytest
from commands import ROOT, environment
from gymnasium.utils.env_checker import check_env
from scipy.stats import chisquare
from stable_baselines3.common.env_checker import check_env as check_env_sb3
from stepping import go_on

import rlbench.envs
from rlbench.envs.catch import Catch
from rlbench.envs.cue import Cue
from rlbench.envs.doors import Doors
from rlbench.envs.symbols import Autoencode, RepeatPrevious
from rlbench.envs.t_maze import DOWN, FORWARD, UP, TMaze
from rlbench.learning.environments import snapshot

CUT = {"rlbench/Doors-v0": -3.2, "rlbench/Market-v0": 12.0, "rlbench/Recommend-v0": 65.0}
OWN = ["rlbench/Cue-v0", "rlbench/Catch-v0", "rlbench/Catch84-v0", "rlbench/RepeatPrevious-v0",
       "rlbench/Autoencode-v0", "rlbench/TMaze-v0", *CUT]  # fmt: skip
GOALS = ["rlbench/BitFlip-v0", "rlbench/Reach-v0"]
SIGMAS = 4.5  # of a binomial: a sound test fails once in 100,000


def returns(env: Any, choose: Callable[[list[Any]], int], episodes: int) -> list[float]:
    """Returns of a policy that sees every observation of the episode so far."""
    env.reset(seed=0)
    totals = []
    for _ in range(episodes):
        seen, total, over = [env.reset()[0]], 0.0, False
        while not over:
            obs, reward, over, _, _ = env.step(choose(seen))
            seen.append(obs)
            total += reward
        totals.append(total)
    return totals


def remember(seen: list[Any]) -> int:
    """The optimum of Cue."""
    return int(seen[0][0] > 0)


def follow(seen: list[Any]) -> int:
    """The optimum of Catch, from the last picture alone: go where the uppermost cell is lit."""
    picture = seen[-1][..., 0]
    ball = np.argwhere(picture)[0][1]
    paddle = np.flatnonzero(picture[len(picture) - 1 - np.argmax(picture[::-1].any(1))]).min()
    return int(np.sign(ball - paddle)) + 1


def test_doors_are_as_far_as_is_said() -> None:
    """Nine in ten actions are illegal and change nothing; paths are found breadth first."""
    env, away, reached = Doors(), {0: 0}, [0]
    for room in reached:
        env.room = room
        assert env.mask().sum() == 4
        for door in np.flatnonzero(env.mask()).tolist():
            env.room = room
            obs, reward, over, _, info = env.step(door)
            assert (obs, reward, over) == (door, -1.0, door == 0)
            assert info["action_mask"].tolist() == env.mask().tolist()
            if door not in away:
                away[door] = away[room] + 1
                reached.append(door)
        for wall in np.flatnonzero(env.mask() == 0).tolist():
            assert env.step(wall)[0] == env.room
    assert len(reached) == 40
    assert sum(away.values()) / 39 == pytest.approx(3.0769, abs=1e-4)


def test_cue_is_solved_with_memory() -> None:
    assert returns(Cue(), remember, 200) == [1.0] * 200


@pytest.mark.parametrize("length", [2, 3, 7])
def test_cue_shows_what_it_says(length: int) -> None:
    """Cue, blanks, flag: `length` observations to act on; only the last action counts."""
    env = Cue(length)
    for seed in range(8):
        first, _ = env.reset(seed=seed)
        rewards: list[float] = []
        seen, over = [first], False
        while not over:
            last = len(rewards) == length - 1
            action = remember(seen) if last else int(env.np_random.integers(2))
            obs, reward, over, _, _ = env.step(action)
            seen.append(obs)
            rewards.append(reward)
        assert abs(first[0]) == 1
        assert np.array_equal(seen[1:], [[0, t == length - 2] for t in range(length)])
        assert rewards == [0.0] * (length - 1) + [1.0]


def test_cue_without_memory_is_a_coin() -> None:
    """Exactly 0.5 over both cues, whatever is done; as often as a coin over random ones."""
    env = Cue(4)
    memoryless: list[Callable[[list[Any]], int]] = [
        lambda seen: 0,
        lambda seen: 1,
        lambda seen: int(seen[-1][1]),
        lambda seen: int(seen[-1][0] > 0),
    ]
    for choose in memoryless:
        won = {}
        for seed in range(20):
            obs, _ = env.reset(seed=seed)
            for _ in range(4):
                obs, won[env.cue], *_ = env.step(choose([obs]))
        assert won[-1] + won[1] == 1.0
        mean = np.mean(returns(env, choose, 2000))
        assert abs(mean - 0.5) < SIGMAS * 0.5 / np.sqrt(2000)
    assert np.mean(returns(env, remember, 2000)) == 1.0  # the bound tells them apart


@pytest.mark.parametrize("length", [1, 2, 7])
@pytest.mark.parametrize("kind", [RepeatPrevious, Autoencode])
def test_symbols_are_named_with_memory(kind: Any, length: int) -> None:
    """By whoever names what was seen `length` steps ago; one step off, as often as by chance."""
    env = kind(length)

    def ago(steps: int) -> Callable[[list[Any]], int]:
        return lambda seen: int(seen[-1 - steps]) % env.symbols if len(seen) > steps else 0

    assert returns(env, ago(length), 100) == pytest.approx([1.0] * 100)
    count = 2000
    mean = np.mean(returns(env, ago(length + 1 if kind is RepeatPrevious else 0), count))
    assert abs(mean - 0.25) < SIGMAS * 0.45 / np.sqrt(count)
    env.reset(seed=0)
    steps = 1
    while not env.step(0)[2]:
        steps += 1
    assert steps == length + (env.answers if kind is RepeatPrevious else length)


def test_symbols_show_what_they_say() -> None:
    """Uniform symbols all along, or `length` of them and then none; every seed has its own."""
    repeat, encode = RepeatPrevious(3, answers=500, symbols=5), Autoencode(6, symbols=3)
    first, _ = repeat.reset(seed=1)
    seen = [first, *(repeat.step(0)[0] for _ in range(503))]
    assert chisquare(np.bincount(seen, minlength=5)).pvalue > 1e-4
    assert len(seen) == 504
    shown = [encode.reset(seed=2)[0], *(encode.step(0)[0] for _ in range(12))]
    assert max(shown[:6]) < 3
    assert shown[6:] == [3] * 7
    again = [encode.reset(seed=2)[0], *(encode.step(1)[0] for _ in range(12))]
    assert shown == again
    assert shown != [encode.reset(seed=3)[0], *(encode.step(1)[0] for _ in range(12))]


@pytest.mark.parametrize("length", [1, 5])
def test_t_maze_is_solved_with_memory(length: int) -> None:
    env = TMaze(length)

    def turn(seen: list[Any]) -> int:
        return (UP if seen[0][0] > 0 else DOWN) if seen[-1][1] else FORWARD

    assert returns(env, turn, 100) == [1.0] * 100
    always = returns(env, lambda seen: UP if seen[-1][1] else FORWARD, 2000)
    assert set(always) == {0.0, 1.0}
    assert abs(np.mean(always) - 0.5) < SIGMAS * 0.5 / np.sqrt(2000)


def test_walls_of_the_t_maze_cost_and_stop() -> None:
    env = TMaze(2)
    first, _ = env.reset(seed=0)
    assert abs(first[0]) == 1
    for action in (UP, DOWN):
        obs, reward, over, cut, _ = env.step(action)
        assert (obs.tolist(), reward, over, cut) == ([0, 0], -0.1, False, False)
    assert env.step(FORWARD)[0].tolist() == [0, 0]
    assert env.step(FORWARD)[0].tolist() == [0, 1]
    for _ in range(7):
        obs, reward, over, cut, _ = env.step(FORWARD)
        assert (obs.tolist(), reward, over, cut) == ([0, 1], -0.1, False, False)
    assert env.step(FORWARD)[1:4] == (-0.1, False, True)  # 12 steps, 4 times the shortest way


@pytest.mark.parametrize(("size", "pixels"), [(10, 10), (10, 84), (2, 2), (7, 30)])
def test_catch_is_solved(size: int, pixels: int) -> None:
    assert returns(Catch(size, pixels), follow, 200) == [1.0] * 200


@pytest.mark.parametrize("size", [2, 3, 10])
def test_catch_played_blindly_is_worth_two_in_size_minus_one(size: int) -> None:
    """Any sequence of actions catches exactly one of `size` balls."""
    env, rng = Catch(size), np.random.default_rng(0)
    for _ in range(20):
        actions, total = rng.integers(3, size=size - 1), 0.0
        for column in range(size):
            env.reset(seed=0)
            env.column = column
            total += sum(env.step(action)[1] for action in actions)
        assert total / size == pytest.approx(2 / size - 1, abs=1e-12)


def test_blind_policies_in_catch_score_minus_0_8() -> None:
    rng = np.random.default_rng(1)
    blind: list[Callable[[list[Any]], int]] = [
        lambda seen: 1, lambda seen: 0, lambda seen: int(rng.integers(3)),
    ]  # fmt: skip
    for choose in blind:
        mean = np.mean(returns(Catch(), choose, 2000))
        assert abs(mean + 0.8) < SIGMAS * 2 * np.sqrt(0.1 * 0.9 / 2000)


def test_starts_are_uniform() -> None:
    env, cue = Catch(), Cue()
    env.reset(seed=0)
    cue.reset(seed=0)
    columns, cues = [], []
    for _ in range(2000):
        env.reset()
        cue.reset()
        columns.append(env.column)
        cues.append(cue.cue)
    assert chisquare(np.bincount(columns, minlength=10)).pvalue > 1e-4
    assert chisquare(np.bincount(np.array(cues) + 1)[[0, 2]]).pvalue > 1e-4


def test_the_large_picture_is_the_small_one() -> None:
    """84 pixels: each cell 8 by 8, with a border of 2; the ball falls a row a step."""
    small, large = Catch(), gymnasium.make("rlbench/Catch84-v0", render_mode="rgb_array")
    for seed in range(30):
        one, two = small.reset(seed=seed)[0], large.reset(seed=seed)[0]
        first, copy = one, one.copy()
        assert np.count_nonzero(one) == 2
        assert one[9, 5, 0] == one[0, small.column, 0] == 255
        for time in range(1, 10):
            assert np.array_equal(np.pad(np.kron(one[..., 0], np.ones((8, 8))), 2), two[..., 0])
            picture: Any = large.render()
            assert np.array_equal(picture, np.repeat(two, 3, 2))
            action = (seed + time) % 3
            one, _, over, _, _ = small.step(action)
            two = large.step(action)[0]
            assert one[time, small.column, 0] == 255
            assert over == (time == 9)
        assert np.array_equal(first, copy)  # a picture that was handed out stays as it was


@pytest.mark.parametrize("name", OWN + GOALS)
def test_checkers_accept_them(name: str) -> None:
    env = gymnasium.make(name).unwrapped
    check_env(env)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The minimal resolution for an image is 36x36")
        check_env_sb3(env)


def test_checkers_refuse_a_broken_one() -> None:
    """Negative control: one that shows what its space does not hold."""

    class Broken(Cue):
        def step(self, action: Any) -> Any:
            obs, *others = super().step(action)
            return obs + 7, *others

    for check in (check_env, check_env_sb3):
        with pytest.raises((AssertionError, UserWarning), match="obs"):
            check(Broken())


@pytest.mark.parametrize("name", OWN + GOALS[:1])
def test_they_go_on_where_they_were(name: str) -> None:
    """Captured in the middle of an episode and reinstated elsewhere: the same from there on."""
    env, other = gymnasium.make(name), gymnasium.make(name)
    env.reset(seed=3)
    count = env.action_space.n  # type: ignore[attr-defined]
    actions: list[Any] = np.random.default_rng(0).integers(count, size=400).tolist()
    go_on(env, actions[:125])
    saved = snapshot.capture(env)
    assert saved is not None
    other.reset(seed=4)
    control = snapshot.capture(other)
    snapshot.reinstate(other, saved)
    expected = go_on(env, actions[125:])
    assert go_on(other, actions[125:]) == expected
    assert control is not None
    snapshot.reinstate(other, control)
    assert go_on(other, actions[125:]) != expected


def test_they_are_registered() -> None:
    for name, threshold in CUT.items():
        spec = gymnasium.spec(name)
        assert (spec.reward_threshold, spec.max_episode_steps) == (threshold, 100)
    for name in set(OWN) - set(CUT):
        spec = gymnasium.spec(name)
        assert spec.reward_threshold == 0.95
        assert spec.max_episode_steps is None  # they end by themselves
    assert gymnasium.make("rlbench/Cue-v0", length=7).unwrapped.length == 7  # type: ignore[attr-defined]
    assert rlbench.envs.__doc__


def test_importing_them_is_light_and_may_be_done_twice() -> None:
    code = (
        "import sys, envs, rlbench.envs.wrappers; heavy = {'torch', 'pandas', 'cv2', 'ale_py'}; "
        "print(sorted(heavy & set(sys.modules)))"
    )
    ended = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=ROOT, env=environment(), capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert ended.stdout.strip() == "[]"


@pytest.mark.parametrize(
    "make", [lambda: Cue(1), lambda: Catch(1), lambda: Catch(10, 9), lambda: Cue(-3)]
)
def test_sizes_that_are_none(make: Callable[[], Any]) -> None:
    with pytest.raises(ValueError, match="at least 2"):
        make()


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: RepeatPrevious(0), "length must be at least 1, got 0"),
        (lambda: RepeatPrevious(answers=0), "answers must be at least 1, got 0"),
        (lambda: Autoencode(symbols=1), "symbols must be at least 2, got 1"),
        (lambda: TMaze(-1), "length must be at least 1, got -1"),
    ],
)
def test_lengths_that_are_none(make: Callable[[], Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        make()
