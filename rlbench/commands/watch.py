"""The `watch` command: show a trained agent in a window, or write what it does to a GIF."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from rlbench import registry
from rlbench.commands.evaluate import trained_agent
from rlbench.common.console import console as new_console
from rlbench.common.number_format import number_text
from rlbench.common.safe_write import replacing
from rlbench.errors import CannotWrite, UserError
from rlbench.experiments.run import Run
from rlbench.learning.environments.make import env_factory
from rlbench.learning.rng import evaluation_seeds
from rlbench.process import configure_process
from rlbench.storage import run_folder
from rlbench.storage.run_folder import RunFolder
from rlbench.user_code.calls import UserCodeError, guarded

if TYPE_CHECKING:
    from PIL.Image import Image

    from rlbench.learning.policies.policy import Policy

T = TypeVar("T")
FRAMES_PER_SECOND = 30.0  # of an environment that does not say
MOST_FRAMES = 1_000  # of a GIF: they are held in RAM, 240 kB each at 600x400


def watch(name: str, out: Path, seed: int | None, episodes: int, output: Path | None) -> None:
    """Play final evaluation episodes of a run with the agent of one seed, and show them.

    They are shown in the environment's own window, or written to `output`, a GIF.

    Raises:
        UserError: There is no such agent, nothing to draw on, or nothing that can be drawn.
    """
    configure_process()
    folder = RunFolder(run_folder.find_run(name, out))
    if output is None and sys.platform.startswith("linux") and not _has_display():
        raise UserError("there is no display for a window: repeat the command with -o film.gif")
    if output is not None and output.suffix.lower() != ".gif":
        raise UserError(f"-o {output}: the film is a GIF, so its name must end in .gif")
    run = Run.from_json(folder.read(), ())
    policy = _policy(run, folder, seed)
    if output is not None:
        os.environ.setdefault("SDL_VIDEODRIVER", "dummy")  # pygame looks for no display
    frames: list[Image] = []
    console = new_console()
    with contextlib.closing(_environment(run, "human" if output is None else "rgb_array")) as env:
        for reset_seed in evaluation_seeds("final", episodes):
            score, length = 0.0, 0
            for reward in _episode(env, policy, reset_seed, run.evaluation_steps()):
                score, length = score + reward, length + 1
                if output is not None and len(frames) < MOST_FRAMES:
                    frames.append(_frame(env))
            console.print(
                f"seed {policy.seeds[0]}: return {number_text(score)}, {length:,} steps",
                highlight=False,
            )
        pace = env.metadata.get("render_fps") or FRAMES_PER_SECOND
    if output is not None:
        _write(frames, output, 1_000 / pace)
        cut = f" (its first {MOST_FRAMES:,} frames)" if len(frames) == MOST_FRAMES else ""
        console.print(f"{output}{cut}", highlight=False, soft_wrap=True)


def _has_display() -> bool:
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def _policy(run: Run, folder: RunFolder, seed: int | None) -> Policy:
    """Load the agent of one seed: the first that has one, unless `seed` names it."""
    seed, file = trained_agent(folder, run, seed)
    return registry.agent_class(run.agent).load(file, run.source, seed=seed).policy()


def _environment(run: Run, mode: str) -> Any:
    """Make the run's environment in a render mode."""
    try:
        env = env_factory(run.env, {**run.env_kwargs, "render_mode": mode})()
    except UserError as error:
        raise UserError(f"{run.env} cannot be drawn: {error}") from None
    if env.render_mode != mode:
        raise UserError(f"{run.env} cannot be drawn: its render_mode is {env.render_mode}")
    return env


def _episode(env: Any, policy: Policy, reset_seed: int, limit: int) -> Iterator[float]:
    """Play an episode of at most `limit` steps, and yield the reward of each step."""
    obs, _ = _called(env.reset, seed=reset_seed)
    state, start = None, True
    for _ in range(limit):
        action, state = policy.predict(obs, state, start, deterministic=policy.deterministic)
        obs, reward, terminated, truncated, _ = _called(env.step, action)
        start = False
        yield float(reward)
        if terminated or truncated:
            return


def _frame(env: Any) -> Image:
    """Draw the environment, in 256 colours."""
    from PIL.Image import fromarray

    pixels = _called(env.render)
    if getattr(pixels, "ndim", 0) != 3:
        raise UserError(f"{env}: render() returned {type(pixels).__name__}, not an array (H, W, 3)")
    return fromarray(pixels).quantize()


def _write(frames: list[Image], file: Path, milliseconds: float) -> None:
    """Write frames as a GIF that repeats."""
    try:
        with replacing(file) as stream:
            frames[0].save(
                stream, format="GIF", save_all=True, append_images=frames[1:],
                duration=max(20, 10 * round(milliseconds / 10)), loop=0,
            )  # fmt: skip
    except OSError as error:
        raise CannotWrite(file, error) from None


def _called(function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
    """Call the environment; what it raises becomes a UserError."""
    try:
        return guarded(function, *args, **kwargs)
    except UserCodeError as error:
        raise UserError(f"the environment fails in {function.__name__}: {error.reason()}") from None
