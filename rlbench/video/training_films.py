"""Films of agents in training, written beside the rows; without effect on these."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

from rlbench import registry
from rlbench.errors import UserError
from rlbench.experiments.run import Run
from rlbench.learning.rng import evaluation_seeds
from rlbench.storage.run_folder import seed_ranges, writing
from rlbench.video.film import film
from rlbench.video.film_file import can_write_mp4, write_film
from rlbench.video.scene import Scene, draw_without_display, drawn_environment, pace

MOST_SEEDS = 4  # side by side
MOST_STEPS = 1_000  # of an episode in training


def check_filming(run: Run) -> None:
    """Refuse a run that cannot be filmed in training.

    Raises:
        UserError: Its environment has no pictures, or its agent trains seeds one after the other.
    """
    if "stable_baselines3" in registry.agent_class(run.agent).libraries:
        raise UserError(
            f"--video-every: {run.agent} cannot be filmed in training: leave it out, and film the "
            "trained agents with rlbench video"
        )
    draw_without_display()
    with contextlib.closing(drawn_environment(run.env, run.env_kwargs)) as made:
        scene = Scene(made, None, 1)  # type: ignore[arg-type]  # nobody acts
        scene.begin(evaluation_seeds("grid", 1)[0])
        scene.picture()


class TrainingFilms:
    """Films of the first evaluation episode, at the first evaluation of every so many steps."""

    def __init__(self, agent: Any, env: str, kwargs: dict[str, Any], folder: Path) -> None:
        """Take an agent in training, and the folder of its run."""
        self.agent, self.env, self.kwargs = agent, env, kwargs
        self.folder = folder / "videos"

    def write(self, step: int) -> None:
        """Film the agent as it is now; environment and policy are its own.

        Raises:
            UserError: The environment cannot be drawn, or the file not be written.
        """
        draw_without_display()
        seeds = self.agent.seeds[:MOST_SEEDS]
        kind = "mp4" if can_write_mp4() else "gif"
        file = self.folder / f"seeds-{seed_ranges(seeds)}-step-{step:09d}.{kind}"
        with contextlib.ExitStack() as stack:
            scenes = []
            for seed in seeds:
                env = stack.enter_context(
                    contextlib.closing(drawn_environment(self.env, self.kwargs))
                )
                scenes.append(Scene(env, self.agent.policy(seed=seed), MOST_STEPS))
            with writing(file):
                self.folder.mkdir(parents=True, exist_ok=True)
            frames = film(self.agent.name(), scenes, evaluation_seeds("grid", 1))
            write_film(frames, file, pace(scenes[0].env))


def why_not(error: Exception) -> str:
    """Say in a line why there are no more films."""
    what = error if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
    return f"no more films of training: {what}"
