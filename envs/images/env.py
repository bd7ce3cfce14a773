"""Image classification as Gymnasium environments: one lane of a batch, and a vector of lanes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from rlbench.envs.data.splits import Dataset
from rlbench.envs.images.arguments import choice
from rlbench.envs.images.batch import ImageBatch
from rlbench.envs.images.classify import Classify, Retry, Stream
from rlbench.envs.images.find import Find
from rlbench.envs.images.glimpse import Glimpse
from rlbench.envs.images.imbalanced import Imbalanced
from rlbench.envs.images.row_by_row import Rows

VARIANTS: dict[str, type[ImageBatch]] = {
    kind.__name__: kind for kind in (Classify, Stream, Retry, Rows, Glimpse, Imbalanced, Find)
}
MODES = ["rgb_array"]
_PICTURE = 224  # approximate least side of a rendered image, in pixels
_FRAME = np.array([255, 64, 0], np.uint8)


class ImageEnv(gymnasium.Env[Any, Any]):
    """One of VARIANTS; their classes document observation, action, reward, end and options.

    `data` is the name of a data set or the path of the user's files, `split` "train", "validation"
    or "test". Equal to a batch of one row and one lane whose stream is the seed of `reset`.
    `reset(options={"index": i})` begins with image i of the split; without an index the next image
    comes. `info` has "label", "right" and "index" in the step that ends an episode only.
    """

    metadata: dict[str, Any] = {"render_modes": MODES, "render_fps": 4}
    restorable = True  # by state() and restore()

    def __init__(
        self,
        variant: str = "Classify",
        data: str = "digits",
        split: str = "train",
        render_mode: str | None = None,
        **options: Any,
    ) -> None:
        self.variant = choice("variant", variant, tuple(VARIANTS))
        self.render_mode = choice("render_mode", render_mode, (None, *MODES))
        self.source, self.options = data, options
        self.use(split)
        self.observation_space = self.lane.observation_space
        self.action_space = self.lane.action_space

    @property
    def data(self) -> Dataset:
        """The data set that images come from, with all splits."""
        return self.lane.data

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the answers: the data set's classes, except in Imbalanced."""
        return self.lane.class_names

    @property
    def pass_steps(self) -> int:
        """Number of steps of one pass over the split, or the largest where it varies."""
        return len(self.lane.pool) * self.lane.steps

    def use(self, split: str) -> None:
        """Switch to another split; a reset must follow."""
        self.lane = self.batch((0,), 1, split)
        self.split = split
        self.begun = False
        self.waiting: Any = None  # first observation of the episode after one that has ended
        self.answer = (0, False, False)  # label, right, answered of the last step
        self._note()

    def batch(self, streams: Sequence[int], lanes: int = 1, split: str | None = None) -> ImageBatch:
        """Return the batched form with the same options: `lanes` lanes for each of `streams`."""
        kind = VARIANTS[self.variant]
        return kind(self.source, split or self.split, streams, lanes, **self.options)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        index, waiting = (options or {}).get("index"), self.waiting
        if seed is not None or not self.begun:
            self.lane.seed((self.np_random_seed,))
            waiting = None
        self.begun, self.waiting = True, None
        if index is not None:
            obs = self.lane.begin(np.array([[index]]))
        else:
            obs = self.lane.reset() if waiting is None else waiting
        self._note()
        return _copy_lane(obs), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        if not 0 <= action < self.action_space.n:  # type: ignore[attr-defined]
            raise ValueError(f"no action {action}: the space is {self.action_space}")
        notes = self.lane.notes()
        out = self.lane.step(np.array([[action]], np.int64))
        label, right = int(out.label[0, 0]), bool(out.right[0, 0])
        self.answer = label, right, bool(out.answered[0, 0])
        terminated, truncated = bool(out.terminated[0, 0]), bool(out.truncated[0, 0])
        info: dict[str, Any] = {}
        if terminated or truncated:
            info = {"label": label, "right": right}
            info |= {name: int(note[0, 0]) for name, note in notes.items()}
            self.waiting = out.obs
        else:
            self._note()
        return _copy_lane(out.next_obs), float(out.reward[0, 0]), terminated, truncated, info

    def _note(self) -> None:
        """Draw the current image, since `render` may be called after the lane has moved on."""
        if self.render_mode:
            self.picture = draw(self.lane, 0)

    def render(self) -> Any:
        """Return the enlarged image (h, w, 3) uint8, with a frame around the visible window."""
        return self.picture if self.render_mode else None

    def state(self) -> dict[str, Any]:
        """Return everything that later steps depend on, for `restore`."""
        waiting = self.waiting is not None
        return {"lane": self.lane.state(), "begun": self.begun, "waiting": waiting}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from the `state` of an environment with the same options and split."""
        self.lane.restore(state["lane"])
        self.begun = state["begun"]
        self.waiting = self.lane.obs if state["waiting"] else None
        self._note()


class ImageVectorEnv(VectorEnv[Any, Any, Any]):
    """N lanes of one of VARIANTS that share passes over the images and one random stream.

    Autoreset mode is SAME_STEP: the last observations and infos are in `info["final_obs"]` and
    `info["final_info"]`, as in Gymnasium's SyncVectorEnv. Options are those of ImageEnv;
    `reset(options={"index": array})` begins with these images (N,). Observations may share memory
    with earlier ones: do not write into them.
    """

    def __init__(
        self,
        num_envs: int = 1,
        variant: str = "Classify",
        data: str = "digits",
        split: str = "train",
        render_mode: str | None = None,
        **options: Any,
    ) -> None:
        kind = VARIANTS[choice("variant", variant, tuple(VARIANTS))]
        self.render_mode = choice("render_mode", render_mode, (None, *MODES))
        self.metadata = {**ImageEnv.metadata, "autoreset_mode": AutoresetMode.SAME_STEP}
        self.batch = kind(data, split, (0,), num_envs, **options)
        self.num_envs, self.begun = num_envs, False
        self.single_observation_space = self.batch.observation_space
        self.single_action_space = self.batch.action_space
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        if seed is not None or not self.begun:
            self.batch.seed((self.np_random_seed or 0,))
        self.begun = True
        index = (options or {}).get("index")
        obs = self.batch.reset() if index is None else self.batch.begin(np.asarray(index)[None])
        return _of(obs, 0), {}

    def step(self, actions: Any) -> tuple[Any, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        notes = self.batch.notes()
        out = self.batch.step(np.asarray(actions, np.int64)[None])
        terminated, truncated = out.terminated[0], out.truncated[0]
        over, info = terminated | truncated, {}
        if over.any():
            final = np.full(self.num_envs, None, object)
            for lane in np.flatnonzero(over).tolist():
                final[lane] = _of(out.next_obs, 0, lane)
            last: dict[str, np.ndarray] = {}
            for name, values in {"label": out.label, "right": out.right, **notes}.items():
                last[name] = np.where(over, values[0], np.zeros_like(values[0]))
                last[f"_{name}"] = over
            info = {"final_obs": final, "final_info": last}
            info |= {f"_{name}": over for name in info}
        return _of(out.obs, 0), out.reward[0].astype(np.float64), terminated, truncated, info

    def render(self) -> Any:
        """Return one image per lane, as ImageEnv does."""
        if self.render_mode is None:
            return None
        return tuple(draw(self.batch, lane) for lane in range(self.num_envs))


def _copy_lane(obs: Any) -> Any:
    """Copy the observation of the only lane, so that it shares no memory with others."""
    if isinstance(obs, dict):
        return {name: part[0, 0].copy() for name, part in obs.items()}
    return obs[0, 0].copy()


def _of(obs: Any, *lane: int) -> Any:
    """Index one row, or one lane, of batched observations."""
    if isinstance(obs, dict):
        return {name: part[lane] for name, part in obs.items()}
    return obs[lane]


def draw(batch: ImageBatch, lane: int) -> np.ndarray:
    """Draw the image of a lane of the first row with a frame around the window: (h, w, 3)."""
    image = batch.scene()[0, lane]
    channels = image[..., :3] if image.shape[2] >= 3 else image[..., :1].repeat(3, axis=2)
    zoom = max(1, _PICTURE // max(image.shape[:2]))
    picture = channels.repeat(zoom, axis=0).repeat(zoom, axis=1)
    if batch.windows is not None and batch.window is not None:
        top, left = batch.windows[0, lane] * zoom
        side, line = batch.window * zoom, max(1, zoom // 4)
        inside = picture[top + line : top + side - line, left + line : left + side - line].copy()
        picture[top : top + side, left : left + side] = _FRAME
        picture[top + line : top + side - line, left + line : left + side - line] = inside
    return picture
