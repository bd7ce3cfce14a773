"""Calls to environments: check what they return, and catch what they raise."""

from __future__ import annotations

import functools
import logging
from collections.abc import Mapping
from typing import Any

import numpy as np

from rlbench.errors import UserError
from rlbench.learning.environments.observations import NUMBERS, BadObservation, bounds, overstepped
from rlbench.learning.environments.spaces import ObsSpec
from rlbench.user_code.calls import UserCodeError, as_fault, guarded

_LOG = logging.getLogger("rlbench")
_NONE = np.empty(0, np.int64)
_WATCH_EVERY = 251  # steps of all lanes; a prime, so that no part of an episode is left out

BAD_ACTION = "action became NaN or infinite"
BAD_OBSERVATION = "observation became NaN or infinite"
BAD_REWARD = "reward became NaN or infinite"


class BadEnvironment(UserCodeError):
    """Error: the environment violates Gymnasium's API or its own observation_space."""

    def __init__(self, what: str, cure: str = "") -> None:
        super().__init__("failed", what)
        self.cure = cure  # what to do about it, where that is not plain

    def mistake(self, where: str = "") -> UserError:
        """Return the same as a UserError."""
        cure = f": {self.cure}" if self.cure else ""
        return UserError(f"the environment cannot be used: {self.what}{where}{cure}")


class EnvCalls:
    """Resets and steps environments of one kind, and reads what they return.

    With `watch` every 251st observation is compared with the bounds of its space, and the first one
    outside is logged.
    """

    def __init__(self, spec: ObsSpec, watch: bool = False) -> None:
        self.spec, self.read = spec, spec.array
        self.limits = bounds(spec.space) if watch else None
        self.unwatched = _WATCH_EVERY if self.limits else -1  # steps until the next comparison

    def reset(self, env: Any, **given: Any) -> tuple[Any, Any]:
        """Return the first observation as it is stored, and (observation, info) unchanged."""
        out = guarded(env.reset, **given)
        if not (isinstance(out, tuple | list) and len(out) == 2):
            raise BadEnvironment(f"reset must return (observation, info), not {described(out)}")
        if not isinstance(out[1], Mapping):
            raise BadEnvironment(
                "reset must return (observation, info) with a dictionary as info, not "
                + described(out[1])
            )
        return self._read(out[0]), out

    def step(self, env: Any, action: Any) -> tuple[Any, float, bool, bool, Any]:
        """Return stored observation, reward, terminated, truncated; and the unchanged result."""
        try:
            out = env.step(action)
        except BaseException as error:
            raise as_fault(error) from error
        try:
            obs, reward, terminated, truncated, _ = out
        except (TypeError, ValueError):
            raise BadEnvironment(
                "step must return (observation, reward, terminated, truncated, info), not "
                + described(out)
            ) from None
        except BaseException as error:  # repr and len of an arbitrary object may raise anything
            raise as_fault(error) from error
        try:
            terminated, truncated = bool(terminated), bool(truncated)
        except (TypeError, ValueError):
            raise BadEnvironment(
                "step must return terminated and truncated as true or false, not "
                f"{described(terminated)} and {described(truncated)}"
            ) from None
        except BaseException as error:
            raise as_fault(error) from error
        reward = float(reward) if isinstance(reward, float) else _number(reward)
        if reward - reward:  # NaN where it is NaN or infinite
            raise UserCodeError("diverged", BAD_REWARD)
        try:
            reading = self.read(obs)
        except BadObservation as error:
            raise BadEnvironment(str(error)) from None
        except BaseException as error:  # of an object that is asked for its numbers
            raise as_fault(error) from error
        self.unwatched -= 1
        if not self.unwatched:
            self._watch(reading)
        return reading, reward, terminated, truncated, out

    def _watch(self, reading: Any) -> None:
        """Log the first observation that is outside the bounds of its space."""
        assert self.limits is not None
        if message := overstepped(np.reshape(reading, (1, -1)), self.limits):
            _LOG.warning("%s (said once, though it may happen again)", message)
        self.unwatched = -1 if message else _WATCH_EVERY

    def _read(self, obs: Any) -> Any:
        try:
            return self.read(obs)
        except BadObservation as error:
            raise BadEnvironment(str(error)) from None
        except BaseException as error:
            raise as_fault(error) from error

    @staticmethod
    def close(env: Any) -> None:
        """Close an environment; errors are logged once, since they no longer matter."""
        try:
            guarded(env.close)
        except UserCodeError as fault:
            _warn_once(f"an environment could not be closed: {fault.reason()}")


def bad_lanes(obs: np.ndarray, lanes: int) -> np.ndarray:
    """Return which lanes have NaN or infinity in stored observations `(lanes..., *obs)`."""
    if obs.dtype.kind != "f" or np.isfinite(obs).all():
        return _NONE
    return np.flatnonzero(~np.isfinite(obs.reshape(lanes, -1)).all(-1))


@functools.lru_cache(maxsize=100)
def _warn_once(message: str) -> None:
    _LOG.warning("%s", message)


def _number(reward: Any) -> float:
    """Convert a reward that is not a float: an integer, or an array of one number."""
    try:
        value = guarded(np.asarray, reward)
        if value.size == 1 and value.dtype.kind in NUMBERS:
            return float(value.item())
    except (TypeError, ValueError, UserCodeError):
        pass
    raise BadEnvironment(f"the reward must be a number, not {described(reward)}")


def described(value: Any) -> str:
    """Describe a value in a few words: `an array of shape (2,)`, `a tuple of 4`, `'high'`."""
    if isinstance(value, np.ndarray):
        return f"an array of shape {value.shape}"
    if isinstance(value, tuple | list):
        return f"a {type(value).__name__} of {len(value)}"
    try:
        text = guarded(repr, value)
    except UserCodeError:
        text = ""
    return text if 0 < len(text) <= 40 else f"a {type(value).__name__}"
