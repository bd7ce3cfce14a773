"""Suites that come with rlbench, one TOML file each."""
