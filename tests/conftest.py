"""Tests choose their own folders of results, whatever the user's environment says."""

import os

os.environ.pop("RLBENCH_OUT", None)
