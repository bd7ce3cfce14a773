"""The `watch` and `video` commands: show trained agents in a window, or write a film of them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rlbench import registry
from rlbench.commands.evaluate import trained_agents
from rlbench.common.console import console as new_console
from rlbench.common.number_format import number_text
from rlbench.errors import UserError
from rlbench.experiments.run import Run
from rlbench.learning.rng import evaluation_seeds
from rlbench.process import configure_process
from rlbench.storage import run_folder
from rlbench.storage.run_folder import RunFolder, writing
from rlbench.video.choices import explain_refusal
from rlbench.video.film import film
from rlbench.video.film_file import MOST, can_write_mp4, check_output, write_film
from rlbench.video.scene import Scene, draw_without_display, drawn_environment, has_display, pace

if TYPE_CHECKING:
    from PIL.Image import Image

    from rlbench.learning.policies.policy import Policy

MOST_SEEDS = 4  # side by side, where nobody chose


def watch(name: str, out: Path, seed: int | None, episodes: int, output: Path | None) -> None:
    """Play final evaluation episodes of a run with the agent of one seed, and show them.

    They are shown in the environment's own window, or written to `output`, a GIF or MP4.

    Raises:
        UserError: There is no such agent, nothing to draw on, or nothing that can be drawn.
    """
    configure_process()
    folder = RunFolder(run_folder.find_run(name, out))
    if output is None and not has_display():
        raise UserError("there is no display for a window: repeat the command with -o film.gif")
    if output is not None:
        check_output(output)
        draw_without_display()
    run = Run.from_json(folder.read(), ())
    (policy,) = _policies(run, folder, None if seed is None else [seed], most=1)
    with _scenes(run, [policy], "human" if output is None else "rgb_array") as (scene,):
        pictures = _plain(scene, evaluation_seeds("final", episodes), drawn=output is not None)
        if output is None:
            for _ in pictures:
                pass
        else:
            _write(pictures, output, scene)


def video(
    name: str,
    out: Path,
    seeds: Sequence[int] | None,
    episodes: int,
    output: Path | None,
    salient: bool,
) -> None:
    """Film the agents of several seeds side by side, with what they chose their actions by.

    Without `output` the film is written to `videos/` in the run's folder.

    Raises:
        UserError: There is no such agent, or nothing that can be drawn.
    """
    configure_process()
    folder = RunFolder(run_folder.find_run(name, out))
    if output is not None:
        check_output(output)
    draw_without_display()
    record = folder.read()
    run = Run.from_json(record, ())
    policies = _policies(run, folder, seeds, MOST_SEEDS)
    if salient and (reason := explain_refusal(policies[0])):
        raise UserError(f"--saliency: {reason}: leave it out")
    if output is None:
        shown = run_folder.seed_ranges([policy.seeds[0] for policy in policies])
        kind = "mp4" if can_write_mp4() else "gif"
        output = folder.path / "videos" / f"seeds-{shown}-final.{kind}"
        with writing(output):
            output.parent.mkdir(exist_ok=True)
    resets = evaluation_seeds("final", episodes)
    with _scenes(run, policies, "rgb_array") as scenes:
        pictures = film(record["agent"], scenes, resets, salient, _say)
        _write(pictures, output, scenes[0])


def _policies(run: Run, folder: RunFolder, seeds: Sequence[int] | None, most: int) -> list[Policy]:
    """Load the agents of these seeds: of the first `most` that have one, unless they are named."""
    cls = registry.agent_class(run.agent)
    return [
        cls.load(file, run.source, seed=seed).policy()
        for seed, file in trained_agents(folder, run, seeds, most)
    ]


@contextlib.contextmanager
def _scenes(run: Run, policies: Sequence[Policy], mode: str) -> Iterator[list[Scene]]:
    """Give each policy an environment of its own, which draws itself in this mode."""
    with contextlib.ExitStack() as stack:
        scenes = []
        for policy in policies:
            env = drawn_environment(run.env, run.env_kwargs, mode)
            stack.enter_context(contextlib.closing(env))
            scenes.append(Scene(env, policy, run.evaluation_steps()))
        yield scenes


def _plain(scene: Scene, resets: Sequence[int], drawn: bool) -> Iterator[Image | None]:
    """Play episodes, and yield a picture of each step where they are drawn, else None."""
    for reset_seed in resets:
        scene.begin(reset_seed)
        while not scene.over:
            scene.step()
            if scene.over:
                _say(scene)
            yield scene.picture() if drawn else None


def _write(pictures: Iterator[Image | None], output: Path, scene: Scene) -> None:
    """Write a film, and print where it is."""
    count = write_film((each for each in pictures if each), output, pace(scene.env))
    for _ in pictures:  # to the end of the last episode, though it is cut from the film
        pass
    most = MOST[output.suffix.lower()]
    cut = f" (its first {most:,} frames)" if count == most else ""
    new_console().print(f"{output}{cut}", highlight=False, soft_wrap=True)


def _say(scene: Scene) -> None:
    """Print the return of an episode that has ended."""
    seed = scene.policy.seeds[0]
    new_console().print(
        f"seed {seed}: return {number_text(scene.total)}, {scene.length:,} steps", highlight=False
    )
