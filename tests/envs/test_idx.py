"""The reader of IDX files against a writer of the tests' own."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
from data_files import CODES, encoded, refusal
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from rlbench.envs.data import idx
from rlbench.envs.data.idx import Sums

SHAPES = arrays.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=5)
ARRAYS = st.sampled_from(sorted(CODES)).flatmap(
    lambda kind: arrays.arrays(np.dtype(kind), SHAPES)
)  # fmt: skip
AT = Path("a-file")


@given(array=ARRAYS)
def test_what_was_written_is_read(array: np.ndarray) -> None:
    read = idx.parse(encoded(array), AT)
    assert read.shape == array.shape
    assert read.dtype.newbyteorder("=") == array.dtype
    np.testing.assert_array_equal(read, array)
    assert not read.flags.writeable


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(array=ARRAYS, zipped=st.booleans())
def test_gzipped_and_plain_files_whatever_their_names(
    tmp_path: Path, array: np.ndarray, zipped: bool
) -> None:
    file = tmp_path / "file"
    file.write_bytes(gzip.compress(encoded(array)) if zipped else encoded(array))
    np.testing.assert_array_equal(idx.read(file), array)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(array=ARRAYS, data=st.data(), zipped=st.booleans())
def test_a_file_that_is_cut_anywhere_is_refused(
    tmp_path: Path, array: np.ndarray, data: st.DataObject, zipped: bool
) -> None:
    whole = gzip.compress(encoded(array)) if zipped else encoded(array)
    file = tmp_path / "cut"
    file.write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])
    assert str(file) in refusal(idx.read, file)


@given(array=ARRAYS, more=st.binary(min_size=1, max_size=9))
def test_a_file_that_is_too_long_is_refused(array: np.ndarray, more: bytes) -> None:
    assert "its header promises" in refusal(idx.parse, encoded(array) + more, AT)


def test_uint8_is_not_copied() -> None:
    data = encoded(np.arange(24, dtype=np.uint8).reshape(2, 3, 4))
    assert np.shares_memory(idx.parse(data, AT), np.frombuffer(data, np.uint8))


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "begins with nothing"),
        (b"\x89PNG\r\n", "begins with 89 50 4e 47"),
        (b"\0\0\x07\x01\0\0\0\0", "is no IDX file"),  # an unknown type
        (b"\0\0\x08\0", "is no IDX file"),  # no axes
        (b"\0\0\x08\x05" + bytes(20), "is no IDX file"),  # too many
        (b"\0\0\x08\x03\0\0\0\x01", "ends within its header"),
        (b"\0\0\x08\x02" + b"\xff" * 8, "18,446,744,065,119,617,037"),  # no overflow, no memory
    ],
)
def test_wrong_headers_are_refused(data: bytes, said: str) -> None:
    assert said in refusal(idx.parse, data, AT)


def test_a_damaged_gzip_file_is_refused(tmp_path: Path) -> None:
    """One changed byte anywhere: the check sum in the file does not fit, or worse."""
    good = gzip.compress(encoded(np.arange(200, dtype=np.uint8)), mtime=0)
    file = tmp_path / "x.gz"
    file.write_bytes(good)
    assert len(idx.read(file)) == 200
    for place in (3, 15, 60, len(good) - 6):
        file.write_bytes(good[:place] + bytes([good[place] ^ 0x5A]) + good[place + 1 :])
        assert str(file) in refusal(idx.read, file)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    assert "No such file" in refusal(idx.read, tmp_path / "nothing")
    assert "directory" in refusal(idx.read, tmp_path)


def test_checksums_are_of_the_file_or_of_its_content(tmp_path: Path) -> None:
    """Who compressed it does not matter; what is in it does."""
    data = encoded(np.arange(50, dtype=np.uint8))
    official = gzip.compress(data, 9, mtime=0)
    sums = Sums(idx.md5(official), idx.md5(data))
    file = tmp_path / "x.gz"
    for good in (official, gzip.compress(data, 1, mtime=7), data):
        file.write_bytes(good)
        assert len(idx.read(file, sums)) == 50
    file.write_bytes(gzip.compress(encoded(np.arange(1, 51, dtype=np.uint8))))
    assert len(idx.read(file)) == 50
    assert "is not the official file" in refusal(idx.read, file, sums)
