"""The learning core: torch and numpy, no pandas.

One torch thread per process, always: cores are used by processes (`--jobs`), so that results do
not depend on how many cores a machine has, and seeds in lockstep stay equal to seeds run alone.
"""

import torch

torch.set_num_threads(1)
