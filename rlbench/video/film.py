"""Films of several policies at once: the same episodes, side by side, step by step."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from rlbench.common.number_format import number_text
from rlbench.video.choices import choice, saliency
from rlbench.video.drawing import MOST, MOST_OF_SEVERAL, Bounds, FilmPanel, beside, draw
from rlbench.video.scene import Scene

if TYPE_CHECKING:
    from PIL.Image import Image


def film(
    name: str,
    scenes: Sequence[Scene],
    reset_seeds: Sequence[int],
    salient: bool = False,
    ended: Callable[[Scene], object] = lambda _: None,
) -> Iterator[Image]:
    """Play one episode per reset seed in all scenes, and yield a picture of each step.

    It is of the state before the step, with what the action there is chosen by. A scene whose
    episode has ended shows its last picture until all have. `ended` is called with scenes at the
    ends of their episodes.
    """
    bounds, most = [Bounds() for _ in scenes], MOST if len(scenes) == 1 else MOST_OF_SEVERAL
    for reset_seed in reset_seeds:
        for scene in scenes:
            scene.begin(reset_seed)
        drawn: dict[int, Image] = {}
        while not all(scene.over for scene in scenes):
            for place, scene in enumerate(scenes):
                if not scene.over:
                    picture = scene.picture()  # what the agent sees when it chooses
                    scene.step()
                    panel = _panel(name, scene, picture, salient)
                    drawn[place] = draw(panel, bounds[place], most)
                    if scene.over:
                        ended(scene)
            yield beside([drawn[place] for place in range(len(scenes))])


def _panel(name: str, scene: Scene, picture: Image, salient: bool) -> FilmPanel:
    by = choice(scene.policy, scene.action)
    seen = saliency(scene.policy, by.chosen if by else frozenset()) if salient else None
    end = " (end)" if scene.over else ""
    caption = f"{name} seed {scene.policy.seeds[0]}  return {number_text(scene.total)}{end}"
    return FilmPanel(picture, caption, by, seen)
