"""Tuned parameters per agent and environment, as TOML, each with its source."""
