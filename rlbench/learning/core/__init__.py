"""The base of all agents, and what can be known of one before it is built.

Imports `networks`, `data`, `optim`, `policies`, `environments`; never `training`.
Start with `agent_core.py`: act, observe, policy, state.
"""
