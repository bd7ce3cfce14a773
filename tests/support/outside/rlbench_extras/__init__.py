"""Agents and more for rlbench, as an outside package has them."""
