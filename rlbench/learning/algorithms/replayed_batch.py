"""Replayed batches for off-policy actor-critics: transitions, or sequences.

Both have the same interface: outputs of an actor and values of critics, for these states and the
next, over B items; a batch of sequences of T steps has B T.
"""

from __future__ import annotations

import torch
from torch import Tensor

from rlbench.learning.equations import returns
from rlbench.learning.networks.critics import Actor, Critics


class ReplayedTransitions:
    """Transitions of one step, or of n steps: see `Replay`."""

    critic_hidden: Tensor | None = None  # see `ReplayedSequences`

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
        """Outputs of the actor for these states, `(S, B, outputs)`."""
        return actor.forward(self.obs)

    @torch.no_grad()
    def next_policy(self, actor: Actor) -> Tensor:
        """Outputs of the actor for the next states, `(S, B, outputs)`."""
        return actor.forward(self.next_obs)

    def values(self, critics: Critics) -> Tensor:
        """Q(s, a) of the replayed actions, `(S, C, B)`."""
        return critics.forward(self.obs, self.action)

    def values_of(self, critics: Critics, action: Tensor) -> Tensor:
        """Q(s, action) of other actions (S, B, K), `(S, C, B)`."""
        return critics.forward(self.obs, action)

    @torch.no_grad()
    def next_values(self, critics: Critics, action: Tensor) -> Tensor:
        """Q(s', action) of the next states, `(S, C, B)`."""
        return critics.forward(self.next_obs, action)

    def targets(self, value: Tensor) -> Tensor:
        """Targets of Q(s, a) from the values of next states, both `(S, B)` or `(S, B, M)`."""
        reward, discount = self.reward, self.discount
        if self.first is not None and reward.ndim > 2:
            reward, discount, _ = returns.n_step(reward, discount, self.first)
        if value.ndim > reward.ndim:
            reward, discount = reward.unsqueeze(-1), discount.unsqueeze(-1)
        return torch.addcmul(reward, discount, value)


class ReplayedSequences:
    """Sequences (S, B, T, ...), of which the first `burn_in` steps only refresh hidden states.

    `hidden` (S, B, ...) are the hidden states before the first step, the actor's and then the
    critics'. Next states go on from the hidden states after each step, as in `unroll_pair`. Values
    of other actions go on from `critic_hidden` (S C, B T, M), the critics' hidden states before
    each step, as `values` computed them.
    """

    def __init__(
        self,
        obs: Tensor,
        action: Tensor,
        next_obs: Tensor,
        reward: Tensor,
        discount: Tensor,
        first: Tensor,
        hidden: Tensor,
        burn_in: int,
        n_steps: int,
        critic_hidden: Tensor | None = None,
    ) -> None:
        steps, old = slice(burn_in, None), slice(burn_in)
        self.burn_in = [obs[:, :, old], action[:, :, old], first[:, :, old]] if burn_in else None
        self.obs, self.action, self.first = (x[:, :, steps] for x in (obs, action, first))
        self.next_obs = next_obs[:, :, steps].flatten(1, 2)
        self.reward, self.discount = reward[:, :, steps], discount[:, :, steps]
        self.hidden, self.n_steps = hidden, n_steps
        self.critic_hidden = critic_hidden

    def _actor(self, actor: Actor) -> tuple[Tensor, Tensor]:
        hidden = self.hidden[..., : actor.state_size]
        if self.burn_in is not None:
            obs, _, first = self.burn_in
            with torch.no_grad():
                hidden = actor.encoder.unroll(obs, hidden, first)[1][:, :, -1]
        return actor.unroll(self.obs, hidden, self.first)

    def _critics(self, critics: Critics) -> tuple[Tensor, Tensor, Tensor]:
        start = critics.apart(self.hidden[..., -critics.copies * critics.state_size :])
        if self.burn_in is not None:
            with torch.no_grad():
                obs, action, first = self.burn_in
                start = critics.unroll(obs, action, start, first)[1][:, :, -1]
        values, hidden = critics.unroll(self.obs, self.action, start, self.first)
        return values, hidden, start

    def policy(self, actor: Actor) -> Tensor:
        """Return what the actor gives for the observations of every step."""
        return self._actor(actor)[0]

    @torch.no_grad()
    def next_policy(self, actor: Actor) -> Tensor:
        """Return what the actor gives for the successors of every step."""
        return actor.after(self.next_obs, self._actor(actor)[1])

    def values(self, critics: Critics) -> Tensor:
        """Return the values of the actions that were taken; keeps the hidden states."""
        values, hidden, start = self._critics(critics)
        before = torch.cat([start.unsqueeze(2), hidden[:, :, :-1].detach()], 2)
        continues = 1.0 - critics.each(self.first)
        self.critic_hidden = (before * continues.unsqueeze(-1)).flatten(1, 2)
        return values

    def values_of(self, critics: Critics, action: Tensor) -> Tensor:
        """Return the values of other actions, after the hidden states of `values`."""
        assert self.critic_hidden is not None
        return critics.after(self.obs.flatten(1, 2), action, self.critic_hidden)

    @torch.no_grad()
    def next_values(self, critics: Critics, action: Tensor) -> Tensor:
        """Return the values of actions in the successors."""
        hidden = self._critics(critics)[1]
        return critics.after(self.next_obs, action, hidden.flatten(1, 2))

    def targets(self, value: Tensor) -> Tensor:
        """Targets of up to n_steps, as far as the sequence reaches.

        `(S, B T) -> (S, B T)`, or `(S, B T, M) -> (S, B T, M)` of M values of each state.
        """
        values = value.unsqueeze(-1) if value.ndim == 2 else value
        values = values.movedim(-1, 0).view(-1, *self.reward.shape)
        target = returns.n_step_targets(
            self.reward, self.discount, values, self.first, self.n_steps
        )
        return target.flatten(2).movedim(0, -1).view(value.shape)


Replayed = ReplayedTransitions | ReplayedSequences
