"""Data sets: how they are split, and which are known by name."""

from __future__ import annotations

import hashlib
import shutil
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
from data_files import (
    REAL,
    SPLITS,
    four,
    lay,
    needs_mnist,
    npz,
    numbers,
    pictures,
    read,
    refusal,
    sizes,
    small_mnist,
)
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from rlbench.envs.data import splits
from rlbench.envs.data.splits import load, stratified

# Splits


def shares(labels: np.ndarray, chosen: np.ndarray) -> float:
    """How far the number chosen of a class is from its share, at worst."""
    counts = np.bincount(labels)
    held = np.bincount(labels[chosen], minlength=len(counts))
    return float(np.abs(held - counts * chosen.mean()).max())


@given(
    labels=arrays.arrays(np.int64, st.integers(1, 300), elements=st.integers(0, 12)),
    part=st.floats(0, 1),
    stream=st.integers(0, 3),
)
def test_stratified_keeps_class_shares(labels: np.ndarray, part: float, stream: int) -> None:
    count = round(part * len(labels))
    chosen = stratified(labels, count, stream)
    assert chosen.sum() == count
    assert shares(labels, chosen) < 1
    np.testing.assert_array_equal(chosen, stratified(labels, count, stream))


def test_a_split_that_is_not_stratified_is_seen() -> None:
    """Negative control: the last fifth, and a fifth at random."""
    labels = np.repeat(np.arange(5), 40)
    assert shares(labels, np.arange(200) >= 160) > 1
    random = np.random.default_rng(0).permutation(200) < 40
    assert shares(labels, random) > 1


def test_every_image_is_held_out_equally_often() -> None:
    labels = np.arange(20) % 2
    often = np.mean([stratified(labels, 6, stream) for stream in range(4000)], axis=0)
    np.testing.assert_allclose(often, 0.3, atol=0.04)  # 5.5 standard errors


def test_splits_are_frozen() -> None:
    """Results say only "validation" and "test": what these are must never change."""
    labels = np.arange(1000) ** 2 % 7
    chosen = [np.flatnonzero(stratified(labels, 200, stream)) for stream in (0, 1)]
    found = [hashlib.sha256(one.astype("<i8").tobytes()).hexdigest()[:16] for one in chosen]
    assert found == ["44c31037fa5fc56d", "b1d1b936ea827541"]


@pytest.mark.parametrize(
    ("count", "expected"),
    [(3, (1, 1, 1)), (4, (2, 1, 1)), (997, (599, 199, 199)), (999, (599, 200, 200))],
)  # fmt: skip
def test_own_data_is_split_60_20_20(tmp_path: Path, count: int, expected: tuple[int]) -> None:
    data = read(npz(tmp_path, images=pictures(count), labels=np.arange(count) % 2))
    assert sizes(data) == expected
    found = [numbers(data.splits[name].images) for name in SPLITS]
    assert sorted(chain(*found)) == list(range(count))  # disjoint, and all of them
    for name, which in zip(SPLITS, found, strict=True):
        assert which == sorted(which)
        np.testing.assert_array_equal(data.splits[name].labels, np.array(which) % 2)


def test_given_parts_stay_as_they_are(tmp_path: Path) -> None:
    """Only what is missing is taken from the training images."""
    x = pictures(400)
    y = np.arange(400) % 2
    train, test, val = ({f"x_{k}": x[i], f"y_{k}": y[i]} for k, i in (
        ("train", slice(0, 200)), ("test", slice(200, 250)), ("val", slice(250, 400))))  # fmt: skip
    assert sizes(read(npz(tmp_path, **train))) == (120, 40, 40)
    assert sizes(read(npz(tmp_path, **train, **test))) == (160, 40, 50)
    assert sizes(read(npz(tmp_path, **train, **val))) == (160, 150, 40)
    data = read(npz(tmp_path, **val, **test, **train))
    assert sizes(data) == (200, 150, 50)
    assert numbers(data.splits["test"].images) == list(range(200, 250))
    many = {"x_train": pictures(30_000), "y_train": np.arange(30_000) % 2}
    assert sizes(read(npz(tmp_path, **many, **test))) == (25_000, 5_000, 50)


def test_too_few_images(tmp_path: Path) -> None:
    file = npz(tmp_path, images=pictures(2), labels=[0, 1])
    assert "too few images (2)" in refusal(read, file)


# Names


def test_digits_have_fixed_splits() -> None:
    data = load("digits")
    assert sizes(data) == (1079, 359, 359)
    assert data.describe() == {"name": "digits", "digest": "94ca3948", "classes": 10,
                               "train": 1079, "validation": 359, "test": 359}  # fmt: skip
    assert data.shape == (8, 8, 1)
    assert data.class_names == tuple("0123456789")
    assert {int(pixel) for pixel in np.unique(data.splits["train"].images)} == {
        round(step * 255 / 16 + 1e-9) for step in range(17)
    }


def test_the_digest_is_of_labels_and_images() -> None:
    data = load("digits")
    content = b"".join(s.labels.tobytes() + s.images.tobytes() for s in data.splits.values())
    assert data.digest == hashlib.sha256(content).hexdigest()[:8]


def test_arrays_are_shared(tmp_path: Path) -> None:
    assert load("digits") is load("Digits ")
    file = npz(tmp_path, images=pictures(9), labels=np.arange(9) % 3)
    assert load(str(file)) is load(str(tmp_path / "." / "own.npz"))
    with pytest.raises(ValueError, match="read-only"):
        load("digits").splits["train"].images[0] = 0


def test_a_small_mnist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Gzipped or plain, found below RLBENCH_DATA; official names are held to their checksums."""
    zipped = small_mnist(monkeypatch, tmp_path)
    said = refusal(load, "mnist")
    assert str(tmp_path / "mnist") in said
    assert all(file in said for file in zipped)
    assert "rlbench data get mnist" in said
    lay(tmp_path / "mnist", zipped)
    assert sizes(load("MNIST")) == (80, 20, 20)
    plain = lay(tmp_path / "plain" / "mnist", four())
    monkeypatch.setenv("RLBENCH_DATA", str(plain.parent))
    assert load("mnist").digest == read(tmp_path / "mnist").digest
    lay(plain, {"t10k-labels-idx1-ubyte": four()["train-labels-idx1-ubyte"]})
    assert f"{plain / 't10k-labels-idx1-ubyte'} is not the official" in refusal(
        splits.read, "mnist", plain
    )


def test_unknown_names_suggest_the_nearest(tmp_path: Path) -> None:
    for wrong, near in (("mnits", "mnist"), ("digit", "digits"), ("fashon-mnist", "fashion-mnist")):
        assert f"Did you mean '{near}'?" in refusal(load, wrong)
    for wrong in ("", "no/such/file.npz", str(tmp_path / "nothing")):
        said = refusal(load, wrong)
        assert "Did you mean" not in said
        assert "digits, mnist, fashion-mnist" in said
        assert ".npz" in said
    assert splits.locate("FashionMNIST") == splits.locate("fashion_mnist")


@needs_mnist
def test_mnist_has_fixed_splits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RLBENCH_DATA", str(REAL))
    data = load("mnist")
    assert sizes(data) == (55_000, 5_000, 10_000)
    assert data.digest == "3e384906"
    counts = {name: np.bincount(split.labels).tolist() for name, split in data.splits.items()}
    assert counts["test"] == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    both = np.add(counts["train"], counts["validation"])
    assert both.tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert np.abs(np.array(counts["validation"]) - both / 12).max() < 1
    pixels = np.concatenate([data.splits[name].images for name in ("train", "validation")])
    assert pixels.mean() / 255 == pytest.approx(0.1306604762738429)  # as everybody's
    assert read(REAL / "mnist").digest == data.digest  # the same files as one's own data


@needs_mnist
def test_wrong_files_of_mnist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RLBENCH_DATA", str(tmp_path))
    place = shutil.copytree(REAL / "mnist", tmp_path / "mnist")
    place.chmod(0o755)
    labels, images = place / "t10k-labels-idx1-ubyte.gz", place / "t10k-images-idx3-ubyte.gz"
    for file, wrong in (
        (labels, (place / "train-labels-idx1-ubyte.gz").read_bytes()),
        (images, images.read_bytes()[:-5000]),
        (images, labels.read_bytes()),
    ):
        right = file.read_bytes()
        file.chmod(0o644)
        file.write_bytes(wrong)
        said = refusal(load, "mnist")
        assert said.startswith(str(file))
        assert "`rlbench data get mnist` replaces it" in said
        file.write_bytes(right)
    assert load("mnist").digest == "3e384906"
