"""Array files that are damaged or made to do harm: one line, or the content that was written."""

from __future__ import annotations

import gzip
import io
import struct
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from data_files import encoded, pictures

from rlbench.envs.data import idx, npz, splits
from rlbench.errors import UserError
from rlbench.learning import checkpoint

WHOLE: dict[str, np.ndarray] = {
    "x_train": np.arange(400, dtype=np.uint16).astype(np.uint8).reshape(25, 4, 4),
    "y_train": np.array(["a", "b", "c", "d", "e"] * 5),
    "scale": np.array(0.5),
}


def contents(file: Path) -> dict[str, np.ndarray]:
    with npz.opened(file, 2**20) as arrays:
        return {name: arrays[name] for name in arrays.names}


def header(text: str, version: bytes = b"\x01\x00") -> bytes:
    """The beginning of a `.npy` file whose header is this text."""
    return b"\x93NUMPY" + version + struct.pack("<H", len(text)) + text.encode()


def floats(shape: str, version: bytes = b"\x01\x00") -> bytes:
    """One float that claims to be an array of this shape."""
    text = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}}}"
    return header(text, version) + bytes(8)


def member(data: bytes, **changes: int) -> bytes:
    """A zip file with one entry `a.npy`, whose fields in the central directory are changed."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a.npy", data)
        for name, value in changes.items():
            setattr(archive.filelist[0], name, value)
    return buffer.getvalue()


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_files_are_read_as_they_were_written(tmp_path: Path, save: Callable[..., Any]) -> None:
    save(tmp_path / "a.npz", **WHOLE)
    found = contents(tmp_path / "a.npz")
    assert set(found) == set(WHOLE)
    for name, array in WHOLE.items():
        assert found[name].dtype == array.dtype
        assert np.array_equal(found[name], array)


def test_random_damage_is_refused_or_harmless(tmp_path: Path) -> None:
    """Flipped bytes, cuts and noise: nothing but Damaged, and never other content."""
    np.savez_compressed(tmp_path / "a.npz", allow_pickle=False, **WHOLE)
    data, rng = (tmp_path / "a.npz").read_bytes(), np.random.default_rng(0)
    refused: list[str] = []
    for number in range(600):
        damaged = bytearray(data)
        place = int(rng.integers(len(data)))
        if number % 3 == 0:
            damaged[place] ^= 1 << int(rng.integers(8))
        elif number % 3 == 1:
            del damaged[place:]
        else:
            damaged[place : place + 4] = rng.bytes(4)
        (tmp_path / "b.npz").write_bytes(damaged)
        try:
            found = contents(tmp_path / "b.npz")
        except npz.Damaged as error:
            refused.append(str(error))
            continue
        for name in set(found) & set(WHOLE):  # another name is another array
            assert np.array_equal(found[name], WHOLE[name])
    assert len(refused) > 400
    assert not any("\n" in said for said in refused)


@pytest.mark.parametrize(
    "data",
    [
        member(floats("(10**12,)")),
        member(floats("(1000000000000,)")),
        member(floats("(-1, -1)")),
        member(floats("(1.5,)")),
        member(floats("(2,)")),
        member(floats("(1,)", b"\x07\x00")),
        member(header("(" * 5000)),
        member(header("[" * 200 + "]" * 200)),
        member(header("{'descr': '|O', 'fortran_order': False, 'shape': (1,)}") + bytes(8)),
        member(header("{'descr': '<U0', 'fortran_order': False, 'shape': (1000000000000,)}")),
        member(header("{'descr': '<f8'")),
        member(header('"""')),
        member(b"no array"),
        member(b""),
        member(floats("(1,)"), flag_bits=1),
        member(floats("(1,)"), compress_type=12),
        member(floats("(1,)"), compress_type=97),
        member(floats("(1,)"), file_size=2**31),
        b"PK\x05\x06",
        b"",
    ],
)
def test_headers_that_claim_what_is_not_there(tmp_path: Path, data: bytes) -> None:
    """For every reader of array files: one line, with little memory."""
    file = tmp_path / "a.npz"
    file.write_bytes(data)
    tracemalloc.start()
    with pytest.raises(npz.Damaged), npz.opened(file) as arrays:
        arrays["a"]
    with pytest.raises(UserError, match=r"damaged") as caught:
        checkpoint.load(file)
    with pytest.raises(ValueError, match="npz") as refused:
        splits.read("", file)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 2**24
    assert "\n" not in str(caught.value) + str(refused.value)


def test_a_small_file_that_unpacks_to_much(tmp_path: Path) -> None:
    file = tmp_path / "a.npz"
    np.savez_compressed(file, a=np.zeros(2**22, np.uint8))
    with pytest.raises(npz.Damaged, match="takes 4,194,432 bytes, 1,048,576 are left"):
        contents(file)
    checkpoint.save(tmp_path / "c.npz", {"a": np.zeros(10)})
    assert checkpoint.load(tmp_path / "c.npz")["a"].tolist() == [0.0] * 10


def test_deep_json_is_damage(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", tree=np.array("[" * 100_000))
    with pytest.raises(UserError, match="damaged"):
        checkpoint.load(tmp_path / "a.npz")


def test_gzipped_images_unpack_no_further_than_their_header_says(tmp_path: Path) -> None:
    whole = encoded(pictures(20))
    file = tmp_path / "a-images-idx3-ubyte.gz"
    file.write_bytes(gzip.compress(whole))
    assert idx.read(file).shape == (20, 4, 4)
    file.write_bytes(gzip.compress(whole + bytes(2**26)))
    tracemalloc.start()
    with pytest.raises(ValueError, match="header promises"):
        idx.read(file)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 2**22
    file.write_bytes(gzip.compress(whole[:4] + struct.pack(">III", 2**31, 2**31, 2**31)))
    with pytest.raises(ValueError, match="too large"):
        idx.read(file)
    data, rng = gzip.compress(whole), np.random.default_rng(0)
    refused: list[str] = []
    for _ in range(300):
        damaged = bytearray(data)
        damaged[int(rng.integers(len(data)))] ^= 1 << int(rng.integers(8))
        file.write_bytes(damaged)
        try:
            assert idx.read(file).tobytes() == whole[16:]
        except ValueError as error:
            refused.append(str(error))
    assert len(refused) > 250
    assert not any("\n" in said for said in refused)
