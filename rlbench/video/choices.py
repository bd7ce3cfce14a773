"""What a policy chose its latest action by, and what in an image that depended on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from rlbench.errors import UserError

if TYPE_CHECKING:
    from rlbench.learning.policies.policy import Policy


class ActionChoice(NamedTuple):
    """A number for each action, or each component of a continuous one."""

    title: str  # "Q", "probability", "action" or "logit"
    values: np.ndarray  # (A,)
    chosen: frozenset[int]  # places of the chosen actions


def choice(policy: Policy, action: Any) -> ActionChoice | None:
    """Return what the latest action of a policy of one seed was chosen by; None if unknown.

    Action values, probabilities of categories, or else the numbers of a continuous action itself.
    """
    from rlbench.learning.environments.masked_space import ILLEGAL
    from rlbench.learning.networks.action_distributions import Categorical
    from rlbench.learning.policies.network_policies import GreedyQ, NetworkPolicy

    if isinstance(policy, NetworkPolicy) and policy.latest is not None:
        outputs = policy.latest.outputs[0, 0]
        if isinstance(policy, GreedyQ):
            place = int(action) - policy.action_start
            values = np.where(outputs > np.float32(ILLEGAL), outputs, np.nan)  # of legal actions
            return ActionChoice(policy.meaning, values, frozenset({place}))
        kind = getattr(policy, "distribution", None)
        if isinstance(kind, Categorical):
            return _probabilities(kind, outputs, action, policy.action_start)
    values = np.asarray(action)
    if values.dtype.kind != "f":
        return None
    return ActionChoice("action", values.ravel(), frozenset())


def _probabilities(kind: Any, logits: np.ndarray, action: Any, start: int) -> ActionChoice:
    """Return probabilities of all categories, one part of the action after the other."""
    shares = [np.exp(part - part.max()) for part in kind.parts(logits)]
    values = np.concatenate([share / share.sum() for share in shares])
    first = np.cumsum([0, *kind.sizes[:-1]])
    start_of_each = np.ravel(kind.start) if kind.shape else start
    places = np.ravel(action) - start_of_each + first
    return ActionChoice("probability", values, frozenset(places.astype(int).tolist()))


def explain_refusal(policy: Policy) -> str:
    """Say why there is no saliency of this policy; "" if there is."""
    from rlbench.learning.policies.network_policies import NetworkPolicy

    if not isinstance(policy, NetworkPolicy):
        return "this agent has no network that gradients can be taken of"
    if not any(part.image for part in policy.spec.parts):
        return f"it is for images, and observations are {policy.spec.space}"
    return ""


def saliency(policy: Any, chosen: frozenset[int]) -> tuple[np.ndarray, np.ndarray]:
    """Return the image that the policy saw last, (H, W), and how its choice depends on it.

    The latter is |d v / d pixel| (Simonyan et al. 2014), the largest over channels and frames,
    with v the value of the chosen actions (the sum of all outputs for a continuous action); both
    are scaled to 0 to 1. Of a stack it is the last frame's image.

    Raises:
        UserError: The policy has no network, or sees no image.
    """
    import torch

    if reason := explain_refusal(policy):
        raise UserError(f"no saliency: {reason}")
    latest, spec = policy.latest, policy.spec
    part = next(part for part in spec.parts if part.image)
    with torch.enable_grad():
        seen = torch.from_numpy(latest.inputs).to(policy.device).float().requires_grad_()
        hidden = torch.from_numpy(latest.hidden).to(policy.device)
        outputs = policy.network.step(seen, hidden)[0][0, 0]
        value = outputs[sorted(chosen)].sum() if chosen else outputs.sum()
        (gradient,) = torch.autograd.grad(value, seen)
    image = spec.picture(seen.detach(), part)[0, 0].cpu().numpy()  # (C, H, W)
    strength = spec.picture(gradient.abs(), part)[0, 0].cpu().numpy().max(0)
    channels = part.image[0] // max(spec.stack, 1)
    return _scaled(image[-channels:].mean(0)), _scaled(strength)


def _scaled(values: np.ndarray) -> np.ndarray:
    low, high = float(values.min()), float(values.max())
    return (values - low) / (high - low) if high > low else np.zeros_like(values)
