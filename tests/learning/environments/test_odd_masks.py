"""Masks and observations that are not what was said: one line each, before anything is trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from commands import here
from gymnasium import spaces

from rlbench.errors import UserError
from rlbench.learning.environments.source import EnvSource
from rlbench.learning.environments.spaces import check_readable
from rlbench.learning.environments.trial import try_environment

PLACE = spaces.Box(-1, 1, (2,), np.float32)
GOOD = np.array([1, 1, 0, 0], np.int8)


class World(gymnasium.Env[Any, Any]):
    """Seven steps, with a mask in info: `mask` first, and `later` at the steps."""

    observation_space: spaces.Space[Any] = PLACE
    action_space = spaces.Discrete(4)
    mask: Any = GOOD
    later: Any = GOOD

    def obs(self) -> Any:
        return self.np_random.uniform(-1, 1, 2).astype(np.float32)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.t = 0
        return self.obs(), {} if self.mask is None else {"action_mask": self.mask}

    def step(self, action: Any) -> Any:
        self.t += 1
        info = {} if self.later is None else {"action_mask": self.later}
        return self.obs(), 1.0, self.t == 7, False, info


class Stuck(World):
    mask = later = np.zeros(4)


class StuckLater(World):
    later = np.zeros(4)


class Vanishing(World):
    later = None


class Late(World):
    mask = None


class ToAdd(World):
    mask = later = np.array([-np.inf, -np.inf, 0, 0])


class NotANumber(World):
    mask = later = np.array([np.nan, 1, 1, 1])


class Texts(World):
    mask = later = np.array(["1", "1", "0", "0"])


class Nothings(World):
    mask = later = [None, 1, 1, 1]


class Indices(World):
    mask = later = [0, 1]


class Method(World):
    """Like sb3-contrib's, but it fails."""

    mask = later = None

    def action_masks(self) -> Any:
        raise KeyError("no door")


class MethodOfNothing(Method):
    def action_masks(self) -> Any:
        return None


class Property(World):
    mask = later = None
    action_masks = GOOD


class Part(World):
    """The mask is to be a part of observations."""

    observation_space: spaces.Space[Any] = spaces.Dict(
        observation=PLACE, action_mask=spaces.MultiBinary(4)
    )


class NoPart(Part):
    def obs(self) -> Any:
        return {"observation": super().obs()}


CASES: list[tuple[type[World], str]] = [
    (Stuck, "no action is legal, and the episode goes on: terminate it there, or set action_m"),
    (StuckLater, "goes on (step 1 of a trial): terminate it there, or set action_masks=false"),
    (Vanishing, "info has no action_mask, which it had at first (step 1 of a trial): give one"),
    (Late, "step gives an action_mask in info, and reset gives none: give both, or set"),
    (ToAdd, "action_mask must be 0 for illegal actions and 1 for legal ones, not -inf: correct"),
    (NotANumber, "for legal ones, not nan: correct it, or set action_masks=false"),
    (Texts, "action_mask must have 4 numbers, one for each action, not '1': correct it"),
    (Nothings, "must have 4 numbers, one for each action, not None: correct it"),
    (Indices, "must have 4 numbers, one for each action, not 2: correct it"),
    (Method, "action_masks() raised KeyError: 'no door'"),
    (MethodOfNothing, "action_masks() returned nothing, not a mask"),
    (Property, "action_masks must be a method that returns a mask, not a ndarray: correct it"),
    (Part, "observation is of type ndarray, not a dict"),
    (NoPart, "observation has no 'action_mask', which its space has"),
]


@pytest.mark.parametrize(("world", "message"), [pytest.param(*c, id=c[0].__name__) for c in CASES])
def test_odd_masks_are_refused_before_training(world: type[World], message: str) -> None:
    with pytest.raises(UserError) as raised:
        try_environment(EnvSource(world, masks=None), True, False)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)
    if "or set action_masks=false" in message and not issubclass(world, Part):  # and it is one
        assert try_environment(EnvSource(world, masks=False), True, False) == []


@pytest.mark.parametrize("mask", [GOOD, GOOD.astype(float), [True, True, False, False], GOOD * 3])
def test_masks_of_other_kinds_of_numbers_are_read(mask: Any) -> None:
    kind = type("Kind", (World,), {"mask": mask, "later": mask})
    assert try_environment(EnvSource(kind, masks=None), True, False) == []


def test_on_the_command_line_it_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = f"{__name__}:StuckLater"
    assert here("run", "dqn", "--env", name, "-n", 50, "--out", tmp_path / "r") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("Error: the environment cannot be used: no action is legal")
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize("key", [0, (0, 1)])
def test_keys_that_a_file_would_change_are_refused(key: Any) -> None:
    check_readable(spaces.Dict({"ä b": PLACE, "": PLACE}))
    inner = spaces.Dict([(key, PLACE), ("b", PLACE)])
    for space in (inner, spaces.Tuple((PLACE, inner)), spaces.Dict(a=inner)):
        with pytest.raises(UserError, match="keys of Dict observations must be strings, not "):
            check_readable(space)
