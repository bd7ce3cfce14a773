"""Sum trees against running sums of all leaves."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from rlbench.learning.data.sum_tree import SumTree


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 3), st.integers(1, 600), st.integers(1, 12), st.integers(0, 2**31))
def test_leaves_are_those_of_the_running_sum(
    seeds: int, leaves: int, changes: int, entropy: int
) -> None:
    """After any changes; whole numbers, so that no rounding excuses anything."""
    rng = np.random.default_rng(entropy)
    tree, naive = SumTree(seeds, leaves), np.zeros((seeds, leaves))
    for _ in range(changes):
        leaf = rng.integers(leaves, size=(seeds, 5))
        weight = rng.integers(4, size=(seeds, 5)).astype(float)
        tree.set(leaf, weight)
        for s, i in np.ndindex(seeds, 5):  # of one that is named twice the last counts
            naive[s, leaf[s, i]] = weight[s, i]
    naive[:, leaves // 2] = 1.0
    tree.set(np.full((seeds, 1), leaves // 2), np.ones((seeds, 1)))
    np.testing.assert_array_equal(tree.total(), naive.sum(-1))
    share = rng.random((seeds, 40))
    share[:, 0], share[:, 1] = 0.0, np.nextafter(1.0, 0.0)
    found = tree.find(share)
    for s in range(seeds):
        upto = naive[s].cumsum()
        expected = np.searchsorted(upto, share[s] * upto[-1], side="right")
        np.testing.assert_array_equal(found[s], np.minimum(expected, np.flatnonzero(naive[s])[-1]))
        np.testing.assert_array_equal(tree.weight(found)[s], naive[s, found[s]])
    assert (tree.weight(found) > 0).all()
    other = SumTree(seeds, leaves)
    other.fill(naive)
    for mine, its in zip(tree.levels, other.levels, strict=True):
        np.testing.assert_array_equal(mine, its)


def test_draws_are_in_proportion() -> None:
    """Chi-square over stratified draws of rough weights, for each seed its own."""
    rng = np.random.default_rng(0)
    weights = rng.random((2, 40)) ** 3
    tree = SumTree(2, 40)
    tree.fill(weights)
    counts = np.zeros((2, 40))
    for _ in range(200):
        leaf = tree.find((np.arange(32) + rng.random((2, 32))) / 32)
        for s in range(2):
            counts[s] += np.bincount(leaf[s], minlength=40)
    for s in range(2):
        expected = weights[s] / weights[s].sum() * counts[s].sum()
        assert stats.chisquare(counts[s], expected).pvalue > 1e-3
        assert stats.chisquare(counts[s], np.full(40, counts[s].mean())).pvalue < 1e-9  # control


def test_strata_are_equal_shares() -> None:
    """One leaf with half of all weight gets half of every batch, to within one."""
    tree = SumTree(1, 100)
    tree.fill(np.where(np.arange(100) == 37, 99.0, 1.0)[None])
    rng = np.random.default_rng(1)
    for _ in range(20):
        leaf = tree.find((np.arange(10) + rng.random((1, 10))) / 10)
        assert 4 <= (leaf == 37).sum() <= 6


def test_a_broken_seed_disturbs_no_other() -> None:
    """NaN and infinity among one seed's weights: the other's leaves are what they were."""
    weights = np.random.default_rng(2).random((2, 50))
    share = np.random.default_rng(3).random((2, 20))
    healthy = SumTree(2, 50)
    healthy.fill(weights)
    for bad in (np.nan, np.inf):
        tree = SumTree(2, 50)
        tree.fill(weights)
        with np.errstate(invalid="ignore"):
            tree.set(np.array([[3], [4]]), np.array([[bad], [weights[1, 4]]]))
            found = tree.find(share)
        np.testing.assert_array_equal(found[1], healthy.find(share)[1])
        assert (found < 50).all()


def test_bytes_are_told() -> None:
    taken = sum(level.nbytes for level in SumTree(3, 100_000).levels)
    assert abs(SumTree.bytes(3, 100_000) / taken - 1) < 0.01
