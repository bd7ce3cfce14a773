"""Recorded episodes: what was played is what is read, by whatever name, and nothing is followed."""

from __future__ import annotations

import json
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from lockstep import make
from masked_worlds import Masked
from recordings import LIMIT, recorded, write
from recordings import root as root
from worlds import World

from rlbench.agents import DQN, PPO
from rlbench.errors import UserError
from rlbench.learning.data import recorded_episodes, write_episodes
from rlbench.learning.data.recorded_lanes import RecordedLanes
from rlbench.learning.environments.spaces import ObsSpec
from rlbench.learning.evaluation.episodes import play
from rlbench.learning.rng import evaluation_seeds, recording_seeds

CASES: dict[str, tuple[Any, Any]] = {
    "vector": (partial(World, "vector", "offset"), DQN),
    "number": (partial(World, "number", "bits"), PPO),
    "image": (partial(World, "image", "box6"), PPO),
    "large": (partial(World, "large", "discrete"), DQN),
    "mixed": (partial(World, "mixed", "multi"), PPO),
    "free": (partial(World, "vector", "free"), PPO),
}


def spec_of(env: Any) -> tuple[ObsSpec, Any]:
    made = env()
    return ObsSpec(made.observation_space), made.action_space


@pytest.mark.parametrize("case", CASES)
def test_what_is_read_is_what_happens_in_the_environment(case: str, root: Path) -> None:
    """A naive oracle: recorded actions in new environments, from the recorded reset seeds."""
    env, kind = CASES[case]
    spec, space = spec_of(env)
    source = write(env, kind)
    data = recorded_episodes.read(source, spec, space)
    assert len(data.lengths) == 5
    assert data.lengths.max() <= 7
    start = int(getattr(space, "start", 0)) if isinstance(space, gymnasium.spaces.Discrete) else 0
    step = 0
    for number, seed in enumerate(recording_seeds(3, 5)):
        made = env()
        obs, _ = made.reset(seed=seed)
        for count in range(1, data.lengths[number] + 1):
            place = data.place[step]
            np.testing.assert_array_equal(data.obs[place], np.reshape(spec.array(obs), spec.shape))
            action = data.action[step] + start
            obs, reward, terminated, truncated, _ = made.step(int(action) if start else action)
            np.testing.assert_array_equal(
                data.obs[place + 1], np.reshape(spec.array(obs), spec.shape)
            )
            assert data.reward[step] == np.float32(reward)
            last = count == data.lengths[number]
            assert (terminated or truncated) <= last
            assert data.terminated[step] == terminated
            assert data.truncated[step] == (truncated or (last and not terminated))  # step limit
            step += 1
    assert step == len(data.reward)


def test_episodes_are_played_as_in_evaluation_from_other_seeds() -> None:
    """The same returns as `play` scores there, and no reset seed that an evaluation uses."""
    agent = make(DQN, World, (3,))
    seeds = recording_seeds(3, 5)
    scores = [s for s in play(agent.policy(), World, seeds, LIMIT) if s is not None]
    episodes = recorded(World, DQN)
    assert [s.ret for s in scores] == [sum(e.reward) for e in episodes]
    assert [s.length for s in scores] == [len(e.reward) for e in episodes]
    many = recording_seeds(3, 500)
    assert not {*many} & {*evaluation_seeds("final", 500), *evaluation_seeds("grid", 500)}
    assert min(many) >= 2**30
    assert recording_seeds(4, 5) != seeds


def test_a_digest_is_of_the_content(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same under another name and in another place; another where one reward differs."""
    source = write(World, DQN)
    first = recorded_episodes.digest(source)
    shutil.copytree(root / "tests" / "a-v0", root / "tests" / "b-v3")
    file = root / "tests" / "b-v3" / "data" / "metadata.json"
    file.write_text(file.read_text().replace("tests/a-v0", "tests/b-v3"))
    assert recorded_episodes.digest("minari:tests/b-v3") == first
    shutil.move(root, root.with_name("elsewhere"))
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(root.with_name("elsewhere")))
    assert recorded_episodes.digest(source) == first
    with pytest.importorskip("h5py").File(
        root.with_name("elsewhere") / "tests/a-v0/data/main_data.hdf5", "a"
    ) as stored:
        stored["episode_2/rewards"][0] += 1.0
    assert recorded_episodes.digest(source) != first
    assert write(World, DQN, "tests/again-v0") == "minari:tests/again-v0"
    assert recorded_episodes.digest("minari:tests/again-v0") == first


def damage(file: Path, what: str) -> None:
    """Spoil episode 1 of a data set."""
    with pytest.importorskip("h5py").File(file / "main_data.hdf5", "a") as stored:
        episode = stored["episode_1"]
        if what == "nan":
            episode["rewards"][0] = np.nan
        elif what == "action":
            episode["actions"][0] = 9
        elif what == "lengths":
            episode["rewards"].resize((1,))
        else:
            del stored["episode_1/observations"]


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("nan", "episode 1: its rewards are not all finite"),
        ("action", "episode 1: its actions are not all in Discrete(3)"),
        ("lengths", "episode 1: its observations have shape"),
        ("gone", "cannot be read"),
    ],
)
def test_damage_is_one_line(what: str, said: str, root: Path) -> None:
    source = write(World, DQN, episodes=3)
    damage(root / "tests/a-v0/data", what)
    with pytest.raises(UserError) as error:
        recorded_episodes.read(source, *spec_of(World))
    assert said in str(error.value)
    assert str(error.value).startswith(source)


def test_no_environment_of_the_file_is_made(root: Path, tmp_path: Path) -> None:
    """A file that names one, and leaves Minari to make it for its spaces, is refused unread."""
    source = write(World, DQN)
    file = root / "tests/a-v0/data/metadata.json"
    (tmp_path / "trap_of_a_test.py").write_text("raise SystemExit('imported')")
    said = json.loads(file.read_text())
    trap: dict[str, Any] = {"id": "Trap-v0", "entry_point": "trap_of_a_test:Env"}
    trap |= {"kwargs": {}, "additional_wrappers": [], "vector_entry_point": None}
    file.write_text(json.dumps({**said, "env_spec": json.dumps(trap)}))
    assert len(recorded_episodes.read(source, *spec_of(World)).lengths) == 5
    for name in ("observation_space", "action_space"):
        less = {key: value for key, value in said.items() if key != name}
        file.write_text(json.dumps({**less, "env_spec": json.dumps(trap)}))
        with pytest.raises(UserError, match=f"does not say its {name}"):
            recorded_episodes.read(source, *spec_of(World))


def test_what_does_not_fit_is_one_line(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = write(World, DQN)
    for env, said in (
        (partial(World, "image"), "has observation_space Box"),
        (partial(World, "vector", "offset"), "has action_space Discrete(3), the environment"),
    ):
        with pytest.raises(UserError) as error:
            recorded_episodes.check(source, *spec_of(env))
        assert said in str(error.value)
    agent = make(DQN, Masked)
    with pytest.raises(UserError, match="-p action_masks=false"):
        recorded_episodes.check(source, agent.spec, agent.action_space)
    for name, said in (("tests/a", "with a version"), ("../a-v0", "with a version")):
        with pytest.raises(UserError, match=said):
            recorded_episodes.digest(f"minari:{name}")
    asked: list[str] = []
    monkeypatch.setattr(pytest.importorskip("minari"), "download_dataset", asked.append)
    with pytest.raises(UserError, match="cannot be read"):  # fetched, but still not there
        recorded_episodes.digest("minari:D4RL/door/human-v2")
    assert asked == ["D4RL/door/human-v2"]
    with pytest.raises(UserError, match="there is a data set tests/a-v0"):
        write_episodes.check_new("tests/a-v0")


def test_masked_environments_are_recorded_without_masks(root: Path) -> None:
    """Their policies see masks; what is kept is what the environment shows."""
    env = partial(Masked, "vector", "discrete", "info")
    source = write(env, DQN)
    unmasked = make(DQN, env, action_masks=False)
    data = recorded_episodes.read(source, unmasked.spec, unmasked.action_space)
    assert len(data.lengths) == 5


@pytest.mark.parametrize("n_envs", [1, 3])
def test_lanes_play_whole_episodes_of_every_pass(n_envs: int, root: Path) -> None:
    """All episodes of a pass come before any comes again, in an order of the seed's own."""
    data = recorded_episodes.read(write(World, DQN), *spec_of(World))
    lanes = RecordedLanes(data, (5, 9), n_envs)
    obs = lanes.reset()
    begun: list[list[int]] = [list(row) for row in lanes.episode]
    shown = np.zeros((2, n_envs), int)
    for _ in range(60):
        episode, at = lanes.episode.copy(), lanes.step_of.copy()
        step = lanes.step(np.zeros((2, n_envs)))
        np.testing.assert_array_equal(step.obs, obs)
        index = data.starts[episode] + at
        np.testing.assert_array_equal(step.action, data.action[index])
        over = at + 1 == data.lengths[episode]
        np.testing.assert_array_equal(step.terminated | step.truncated, over)
        shown += 1
        for end in lanes.finished:
            assert end.length in data.lengths
        for row, lane in zip(*np.nonzero(over), strict=True):
            begun[row].append(int(lanes.episode[row, lane]))
        np.testing.assert_array_equal(step.next_obs[~over], lanes.obs[~over])
        obs = lanes.obs
    for row in begun:
        for pass_ in range(len(row) // 5):
            assert sorted(row[5 * pass_ : 5 * pass_ + 5]) == [0, 1, 2, 3, 4]
    assert begun[0] != begun[1]
