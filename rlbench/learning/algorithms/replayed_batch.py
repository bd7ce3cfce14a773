"""A replayed batch as off-policy actor-critics learn from it: of transitions, or of sequences.

Both have the same interface: outputs of policies and values of critics, here and one step ahead,
over B items; a batch of sequences of T steps has B T.
"""

from __future__ import annotations

import torch
from torch import Tensor

from rlbench.learning.equations import returns
from rlbench.learning.networks.critics import Actor, Critics


class ReplayedTransitions:
    """Single transitions, or n of them as one: see `Replay`."""

    before: Tensor | None = None  # see `ReplayedSequences`

    def __init__(
        self,
        obs: Tensor,
        action: Tensor,
        next_obs: Tensor,
        reward: Tensor,
        discount: Tensor,
        first: Tensor | None,
    ) -> None:
        self.obs, self.action, self.next_obs = obs, action, next_obs
        self.reward, self.discount, self.first = reward, discount, first

    def policy(self, actor: Actor) -> Tensor:
        """Outputs of a policy where actions were taken, `(S, B, outputs)`."""
        return actor.forward(self.obs)

    @torch.no_grad()
    def next_policy(self, actor: Actor) -> Tensor:
        """Outputs one step ahead, `(S, B, outputs)`."""
        return actor.forward(self.next_obs)

    def values(self, critics: Critics) -> Tensor:
        """Q(s, a) of the actions that were taken, `(S, C, B)`."""
        return critics.forward(self.obs, self.action)

    def values_of(self, critics: Critics, action: Tensor) -> Tensor:
        """Q(s, action) of others (S, B, K) in their place, `(S, C, B)`."""
        return critics.forward(self.obs, action)

    @torch.no_grad()
    def next_values(self, critics: Critics, action: Tensor) -> Tensor:
        """Q(s', action) one step ahead, `(S, C, B)`."""
        return critics.forward(self.next_obs, action)

    def targets(self, value: Tensor) -> Tensor:
        """What Q(s, a) should be if the future is worth `value`, both `(S, B)`."""
        reward, discount = self.reward, self.discount
        if self.first is not None and reward.ndim > 2:
            reward, discount, _ = returns.n_step(reward, discount, self.first)
        return torch.addcmul(reward, discount, value)


class ReplayedSequences:
    """Sequences (S, B, T, ...), of which the first `burn_in` steps only bring memory up to date.

    `memory` (S, B, ...) is what was carried up to the first step: the actor's, then the critics'.
    A successor is one step further than the memory after its observation, as in `unroll_pair`.
    Values of other actions go on from `before`, the memories before each step of the critics' last
    pass over the sequence, `(S C, B T, M)`.
    """

    def __init__(
        self,
        obs: Tensor,
        action: Tensor,
        next_obs: Tensor,
        reward: Tensor,
        discount: Tensor,
        first: Tensor,
        memory: Tensor,
        burn_in: int,
        n_steps: int,
        before: Tensor | None = None,
    ) -> None:
        steps, old = slice(burn_in, None), slice(burn_in)
        self.burnt = [obs[:, :, old], action[:, :, old], first[:, :, old]] if burn_in else None
        self.obs, self.action, self.first = (x[:, :, steps] for x in (obs, action, first))
        self.next_obs = next_obs[:, :, steps].flatten(1, 2)
        self.reward, self.discount = reward[:, :, steps], discount[:, :, steps]
        self.memory, self.n_steps = memory, n_steps
        self.before = before

    def _actor(self, actor: Actor) -> tuple[Tensor, Tensor]:
        memory = self.memory[..., : actor.state_size]
        if self.burnt is not None:
            obs, _, first = self.burnt
            with torch.no_grad():
                memory = actor.encoder.unroll(obs, memory, first)[1][:, :, -1]
        return actor.unroll(self.obs, memory, self.first)

    def _critics(self, critics: Critics) -> tuple[Tensor, Tensor, Tensor]:
        memory = critics.apart(self.memory[..., -critics.copies * critics.state_size :])
        if self.burnt is not None:
            with torch.no_grad():
                obs, action, first = self.burnt
                memory = critics.unroll(obs, action, memory, first)[1][:, :, -1]
        values, memories = critics.unroll(self.obs, self.action, memory, self.first)
        return values, memories, memory

    def policy(self, actor: Actor) -> Tensor:
        return self._actor(actor)[0]

    @torch.no_grad()
    def next_policy(self, actor: Actor) -> Tensor:
        return actor.after(self.next_obs, self._actor(actor)[1])

    def values(self, critics: Critics) -> Tensor:
        values, memories, begin = self._critics(critics)
        before = torch.cat([begin.unsqueeze(2), memories[:, :, :-1].detach()], 2)
        kept = 1.0 - critics.each(self.first)
        self.before = (before * kept.unsqueeze(-1)).flatten(1, 2)
        return values

    def values_of(self, critics: Critics, action: Tensor) -> Tensor:
        assert self.before is not None
        return critics.after(self.obs.flatten(1, 2), action, self.before)

    @torch.no_grad()
    def next_values(self, critics: Critics, action: Tensor) -> Tensor:
        memories = self._critics(critics)[1]
        return critics.after(self.next_obs, action, memories.flatten(1, 2))

    def targets(self, value: Tensor) -> Tensor:
        """As those of transitions; with the longest sum of rewards that the sequence holds."""
        value = value.view(self.reward.shape)
        given = (self.reward, self.discount, value, self.first, self.n_steps)
        return returns.n_step_targets(*given).flatten(1)
