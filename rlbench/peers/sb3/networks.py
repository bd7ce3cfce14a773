"""Our networks in Stable-Baselines3's terms, and the observations its policies read."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor, nn

from rlbench.errors import UserError
from rlbench.learning.environments.spaces import ObsSpec
from rlbench.learning.networks.encoders import parse
from rlbench.learning.networks.families import SMALLEST_NATURE, kind_for, plain_layers

ACTIVATIONS = {"relu": nn.ReLU, "tanh": nn.Tanh}
EPSILON, CLIP = 1e-8, 10.0  # of VecNormalize


def optimizer(name: str, weight_decay: float, eps: float | None) -> dict[str, Any]:
    """Return class and arguments of torch's optimiser that is equivalent to ours."""
    kinds: dict[str, tuple[Any, dict[str, Any]]] = {
        "adam": (torch.optim.Adam, {"eps": eps or 1e-8}),
        "adamw": (torch.optim.AdamW, {"eps": eps or 1e-8}),
        "rmsprop": (torch.optim.RMSprop, {"alpha": 0.99, "eps": eps or 1e-5}),
        "sgd": (torch.optim.SGD, {}),
        "momentum": (torch.optim.SGD, {"momentum": 0.9}),
    }
    kind, arguments = kinds[name]
    return {
        "optimizer_class": kind,
        "optimizer_kwargs": {**arguments, "weight_decay": weight_decay},
    }


def arguments(spec: ObsSpec, config: Any, actor_critic: bool) -> dict[str, Any]:
    """Return the `policy_kwargs` that make the network which `config` describes."""
    c, image = config, picture(spec, config)
    kinds = [kind_for(image, c.cnn)] if image else []
    arch, heads = c.arch(kinds, False), c.heads()
    policy_kwargs: dict[str, Any] = {
        "activation_fn": ACTIVATIONS[c.activation],
        **optimizer(c.optimizer, c.weight_decay, 1e-5 if actor_critic else None),
    }
    cell, own = parse(c.encoder)[1], c.settings == "defaults"
    both = actor_critic and shared(spec, c)
    below = image is not None or cell is not None or both  # where the fully connected layers go
    if below:
        policy_kwargs["features_extractor_class"] = StackedExtractor
        policy_kwargs["features_extractor_kwargs"] = {
            "kind": kinds[0] if image else None,
            "arch": arch,
            # NatureCNN has relu.
            "activation": nn.ReLU if own and (image or cell) else ACTIVATIONS[c.activation],
        }
    policy_kwargs["net_arch"] = list(heads if below else (*arch, *heads))
    if actor_critic:
        policy_kwargs |= {"ortho_init": c.ortho_init, "log_std_init": c.log_std_init}
        if below:
            policy_kwargs["share_features_extractor"] = own or both
    if cell is not None:  # a shared encoder learns from the actor's gradient only
        one = both and not own
        policy_kwargs |= {"lstm_hidden_size": c.hidden_size, "n_lstm_layers": c.num_layers}
        policy_kwargs |= {"shared_lstm": one, "enable_critic_lstm": not one}
    return policy_kwargs


def picture(spec: ObsSpec, config: Any) -> tuple[int, int, int] | None:
    """Return (channels, height, width) that convolutions read, or None without any."""
    return None if parse(config.encoder)[0] == "mlp" else spec.parts[0].image


def shared(spec: ObsSpec, config: Any) -> bool:
    """Return whether actor and critic share one encoder."""
    both = config.share_encoder
    return picture(spec, config) is not None if both is None else both


def check(name: str, space: spaces.Space[Any], config: Any) -> None:
    """Reject observations that the library's policies would not read as ours do."""
    if not isinstance(space, spaces.Box | spaces.Discrete | spaces.MultiDiscrete):
        raise UserError(f"{name} reads Box, Discrete and MultiDiscrete observations, not {space}")
    if np.any(getattr(space, "start", 0)):
        raise UserError(f"{name} needs observations that count from 0, not {space}")
    if isinstance(space, spaces.MultiDiscrete) and len(space.shape) != 1:
        raise UserError(f"{name} needs categories in one row, not {space}")
    if isinstance(space, spaces.Box) and space.shape == ():
        raise UserError(f"{name} needs observations with an axis, such as (1,), not {space}")
    spec = ObsSpec.of(space, config)
    image = picture(spec, config)
    if image and not _preprocessing("is_image_space")(space):
        raise UserError(f"{name} reads images of bytes from 0 to 255, not {space}: use encoder=mlp")
    if config.encoder == "cnn" and not image:
        raise UserError(f"{name}: encoder=cnn needs images, and observations of {space} are none")
    small = image is not None and min(image[1:]) < SMALLEST_NATURE
    if small and (config.settings == "defaults" or config.cnn == "nature"):
        raise UserError(
            f"{name}: convolutions of Stable-Baselines3 need {SMALLEST_NATURE} pixels a side: use "
            "settings=equal and cnn=small, or encoder=mlp"
        )
    floats = isinstance(space, spaces.Box) and space.dtype != np.uint8
    if config.normalize_obs and (not floats or image):
        raise UserError(f"normalize_obs is for vectors of real numbers, not {space}: leave it out")


def turned(spec: ObsSpec, config: Any) -> bool:
    """Return whether images must be transposed to put channels first."""
    return picture(spec, config) is not None and spec.parts[0].channels_last


def channels_first(env: Any, spec: ObsSpec, config: Any) -> Any:
    """Wrap the vectorised environment so that images are read as by our agents.

    The library takes the shortest axis for channels, and skips what is wrapped already.
    """
    if picture(spec, config) is None:
        return env
    wrapper = importlib.import_module("stable_baselines3.common.vec_env").VecTransposeImage
    outer = wrapper(env, skip=True)
    outer.skip = not turned(spec, config)
    outer.observation_space = seen_by_library(spec, config)
    return outer


def seen_by_library(spec: ObsSpec, config: Any) -> spaces.Space[Any]:
    """Return the observation space behind the library's wrappers, with images channels first."""
    space = spec.observed
    if picture(spec, config) is not None:
        return spaces.Box(0, 255, spec.parts[0].image, np.uint8)
    last = _preprocessing("is_image_space")(space) and not _preprocessing(
        "is_image_space_channels_first"
    )(space)
    vec_env = importlib.import_module("stable_baselines3.common.vec_env")
    return vec_env.VecTransposeImage.transpose_space(space) if last else space


def _preprocessing(name: str) -> Any:
    return getattr(importlib.import_module("stable_baselines3.common.preprocessing"), name)


class StackedExtractor(nn.Module):
    """Encoder below a recurrent cell or heads: convolutions and the layers above them."""

    def __init__(
        self,
        space: spaces.Box,
        kind: str | None,
        arch: tuple[int, ...],
        activation: type[nn.Module],
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        if kind is not None:
            channels, height, width = space.shape
            for layer in plain_layers(kind):
                layers += [
                    nn.Conv2d(channels, layer.channels, layer.kernel, layer.stride, layer.padding)
                ]
                layers += [nn.MaxPool2d(layer.pool)] if layer.pool > 1 else []
                layers += [nn.ReLU()]
                channels, height, width = layer.channels, layer.side(height), layer.side(width)
            self.features_dim = channels * height * width
        else:
            self.features_dim = spaces.flatdim(space)
        layers.append(nn.Flatten())
        for width in arch:
            layers += [nn.Linear(self.features_dim, width), activation()]
            self.features_dim = width
        self.layers = nn.Sequential(*layers)

    def forward(self, obs: Tensor) -> Tensor:
        """Encode observations, `(B, *obs) -> (B, features_dim)`."""
        return self.layers(obs)


class ObservationAwarePolicy:
    """Policy of the library with the moments that its training normalised observations by."""

    def __init__(self, policy: Any, moments: dict[str, Any], turn: bool = False) -> None:
        self.policy, self.moments = policy, moments
        self.turn = turn  # images, to channels first

    def predict(
        self, observation: Any, state: Any = None, episode_start: Any = None,
        deterministic: bool = False, **masks: Any,
    ) -> tuple[Any, Any]:  # fmt: skip
        """Return actions for observations, which are normalised first where training was.

        `masks` are the `action_masks` of a policy that takes any.
        """
        if self.moments:
            normal = (observation - self.moments["mean"]) / np.sqrt(self.moments["var"] + EPSILON)
            observation = np.clip(normal, -CLIP, CLIP).astype(np.float32)
        if self.turn:
            observation = np.moveaxis(observation, -1, 1)
        return self.policy.predict(observation, state, episode_start, deterministic, **masks)
