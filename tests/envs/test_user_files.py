"""The user's own data sets: IDX pairs, .npz files, folders of images."""

from __future__ import annotations

import gzip
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
from data_files import SPLITS, encoded, four, lay, npz, pictures, read, refusal, sizes
from PIL import Image

# IDX files


def test_idx_pairs_are_read_and_split(tmp_path: Path) -> None:
    images, labels = pictures(50), (np.arange(50) % 5).astype(np.int32)
    file = lay(tmp_path / "my.set", {"a-images-idx3-ubyte.gz": gzip.compress(encoded(images)),
                                     "a-labels-idx1-ubyte": encoded(labels)})  # fmt: skip
    data = read(file / "a-images-idx3-ubyte.gz")
    assert data.name == "a-images-idx3-ubyte"
    assert sizes(data) == (30, 10, 10)
    only_train = {name: data for name, data in four().items() if "train" in name}
    assert sizes(read(lay(tmp_path / "half", only_train))) == (60, 20, 20)
    whole = read(lay(tmp_path / "four.files", four()))
    assert (whole.name, sizes(whole)) == ("four.files", (80, 20, 20))
    coloured = np.repeat(pictures(9)[..., None], 3, axis=3)
    lay(tmp_path, {"c.images-idx4-ubyte": encoded(coloured)})
    lay(tmp_path, {"c.labels-idx1-ubyte": encoded((np.arange(9) % 2).astype(np.uint8))})
    assert read(tmp_path / "c.images-idx4-ubyte").shape == (4, 4, 3)


def test_wrong_idx_pairs(tmp_path: Path) -> None:
    files = lay(tmp_path / "set", four())
    images, labels = files / "train-images-idx3-ubyte", files / "train-labels-idx1-ubyte"
    cases = [
        (labels, four(train=99)[labels.name], ["100 images", str(labels), "99 labels"]),
        (labels, four()[images.name], [str(labels), "100x4x4", "labels have one axis"]),
        (images, four()[labels.name], [str(images), "(n, height, width)"]),
        (images, encoded(np.zeros((0, 4, 4), np.uint8)), [str(images), "is empty"]),
        (images, encoded(pictures(100, 5)), ["5x5x1", "4x4x1"]),
        (labels, encoded(np.full(100, -1, np.int8)), [str(labels), "negative"]),
        (labels, encoded(np.zeros(100, np.float32)), [str(labels), "float32", "whole numbers"]),
        (labels, encoded(np.zeros(100, np.uint8)), ["lacks: '1'"]),
        (labels, b"id,label\n", [str(labels), "is no IDX file"]),
        (images, four()[images.name][:-1], [str(images), "truncated"]),
    ]
    for file, wrong, words in cases:
        file.write_bytes(wrong)
        said = refusal(read, files)
        assert all(word in said for word in words), said
        file.write_bytes(four()[file.name])
    labels.unlink()
    assert "lacks train-labels-idx1-ubyte" in refusal(read, files)
    assert "put train-labels-idx1-ubyte" in refusal(read, images)
    assert "is no data set; own data is" in refusal(read, lay(tmp_path, {"a.csv": b""}) / "a.csv")


# .npz files


def test_npz_of_many_kinds(tmp_path: Path) -> None:
    """Whatever holds the pixels, they are the same from 0 to 255; labels are counted from 0."""
    grey = np.arange(256, dtype=np.uint8).reshape(16, 4, 4)
    labels = np.arange(16) % 4
    digest = read(npz(tmp_path, images=grey, labels=labels)).digest
    for images, said in [
        (grey.astype(np.int64), labels.astype(np.uint8)),
        (grey[..., None], labels[:, None]),
        (grey / 255, labels + 1),
        ((grey / 255).astype(np.float32), labels * 100),
        ((grey / 255).astype(np.float16), np.array(["cat", "dog", "eel", "fox"])[labels]),
        (np.asfortranarray(grey), labels),
    ]:
        assert read(npz(tmp_path, images=images, labels=said)).digest == digest
    assert read(npz(tmp_path, images=grey, labels=labels * 100)).class_names == (
        "0", "100", "200", "300")  # fmt: skip
    assert read(npz(tmp_path, images=grey, labels=labels % 2 == 0)).class_names == ("False", "True")
    between = np.broadcast_to([[0.997, 0.999]], (16, 1, 2))  # of 255: 254.2 and 254.7
    train = read(npz(tmp_path, images=between, labels=labels)).splits["train"]
    assert np.unique(train.images).tolist() == [254, 255]
    data = read(npz(tmp_path, images=grey > 7, labels=labels))
    assert set(np.unique(data.splits["train"].images)) <= {0, 255}
    assert read(npz(tmp_path, images=np.zeros((9, 3, 2, 3)), labels=labels[:9])).shape == (3, 2, 3)


GREY, LABELS = pictures(20), np.arange(20) % 4


@pytest.mark.parametrize(
    ("images", "labels", "words"),
    [
        (GREY, LABELS[:-1], ["20 images", "19 labels"]),
        (GREY, LABELS - 1, ["(labels)", "negative labels (-1)"]),
        (GREY, LABELS / 1, ["float64 labels"]),
        (GREY, np.eye(20), ["np.argmax"]),
        (GREY, LABELS * 0, ["1 classes"]),
        (GREY, LABELS.astype("S"), ["whole numbers or text"]),
        (GREY.reshape(20, 16), LABELS, ["(images)", "20x16", "(n, height, width)"]),
        (GREY[:0], LABELS[:0], ["is empty"]),
        (GREY[:, :0], LABELS, ["is empty"]),
        (np.zeros((20, 3, 32, 32)), LABELS, ["np.moveaxis"]),
        (np.where(GREY == 3, np.nan, 0.0), LABELS, ["NaN"]),
        (np.where(GREY == 3, np.inf, 0.0), LABELS, ["infinite"]),
        (GREY / 1.0, LABELS, ["from 0 to 19", "floats from 0 to 1"]),
        (GREY / 10 - 1, LABELS, ["from -1 to 0.9"]),
        (GREY.astype(int) - 1, LABELS, ["from -1 to 18"]),
        (GREY.astype(int) * 20, LABELS, ["from 0 to 380"]),
        (GREY.astype(complex), LABELS, ["complex128"]),
        (GREY.astype(str), LABELS, ["str96"]),
    ],
)
def test_wrong_npz_is_refused_with_its_name(
    tmp_path: Path, images: np.ndarray, labels: np.ndarray, words: list[str]
) -> None:
    file = npz(tmp_path, images=images, labels=labels)
    said = refusal(read, file)
    assert said.startswith(str(file))
    assert all(word in said for word in words), said


class Bomb:
    """Unpickling it would be seen."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return Path.touch, (Path("exploded"),)  # type: ignore[return-value]


def test_nothing_is_unpickled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    file = npz(tmp_path, images=GREY, labels=np.array([Bomb()] * 20, dtype=object))
    assert "Python objects" in refusal(read, file)
    file.write_bytes(pickle.dumps(Bomb()))
    assert "cannot be read as a .npz file" in refusal(read, file)
    assert not Path("exploded").exists()


def test_broken_npz_files(tmp_path: Path) -> None:
    file = npz(tmp_path, images=GREY, labels=LABELS)
    whole = file.read_bytes()
    for wrong in (b"", b"PK\x03\x04 nothing", whole[:-40], whole[:300],
                  whole[:200] + b"xxxx" + whole[204:]):  # fmt: skip
        file.write_bytes(wrong)
        said = refusal(read, file)
        assert str(file) in said
        assert "cannot be read as a .npz file" in said
    with file.open("wb") as target:
        np.save(target, GREY)  # one array only
    assert "cannot be read as a .npz file" in refusal(read, file)
    for keys in ({"data": GREY}, {"x_train": GREY}, {}, {"x_test": GREY, "y_test": LABELS},
                 {"x_train": GREY, "y_train": LABELS, "x_test": GREY}):  # fmt: skip
        said = refusal(read, npz(tmp_path, **keys))
        assert "x_train and y_train" in said
        assert f"it has {', '.join(sorted(keys)) or 'none'}" in said


def test_a_class_only_in_the_test_is_refused(tmp_path: Path) -> None:
    file = npz(tmp_path, x_train=GREY, y_train=LABELS, x_test=GREY, y_test=LABELS + 1)
    assert "(x_test) has a class that" in refusal(read, file)
    assert "lacks: '4'" in refusal(read, file)


# Folders of images


def painted(folder: Path, mode: str = "L", kind: str = "png", count: int = 4) -> Path:
    """Classes "b" and "a" of `count` images each; the brightness tells which it is."""
    for number, name in enumerate("ba"):
        (folder / name).mkdir(parents=True)
        for image in range(count):
            picture = Image.new("L", (5, 3), 100 * number + 10 * image)
            picture.convert(mode).save(folder / name / f"{image}.{kind}")
    return folder


def test_image_folder_has_a_class_per_sub_folder(tmp_path: Path) -> None:
    folder = painted(tmp_path / "shapes.v1")
    for noise in ("a/.DS_Store", "a/notes.txt", "README.md", ".git/config", "__pycache__/x"):
        (folder / noise).parent.mkdir(exist_ok=True)
        (folder / noise).write_text("no image")
    data = read(folder)
    assert (data.name, data.shape, data.class_names) == ("shapes.v1", (3, 5, 1), ("a", "b"))
    assert sizes(data) == (4, 2, 2)
    bright = np.concatenate([split.images[:, 0, 0, 0] for split in data.splits.values()])
    labels = np.concatenate([split.labels for split in data.splits.values()])
    assert sorted(zip(labels.tolist(), bright.tolist(), strict=True)) == [
        *((0, 100 + 10 * image) for image in range(4)),
        *((1, 10 * image) for image in range(4)),
    ]


@pytest.mark.parametrize("kind", ["png", "jpg", "gif", "bmp", "PNG"])
def test_image_formats_are_read(tmp_path: Path, kind: str) -> None:
    assert sizes(read(painted(tmp_path / kind, kind=kind))) == (4, 2, 2)


def test_folders_of_splits(tmp_path: Path) -> None:
    painted(tmp_path / "train", count=10)
    assert sizes(read(tmp_path)) == (12, 4, 4)
    painted(tmp_path / "test", count=3)
    assert sizes(read(tmp_path)) == (16, 4, 6)
    painted(tmp_path / "val", count=1)
    data = read(tmp_path)
    assert sizes(data) == (20, 2, 6)
    assert data.splits["test"].labels.tolist() == [0, 0, 0, 1, 1, 1]
    shutil.move(tmp_path / "test" / "a", tmp_path / "test" / "zebra")
    assert "lacks: 'zebra'" in refusal(read, tmp_path)


def test_classes_may_be_called_train_and_test(tmp_path: Path) -> None:
    """Railways have trains: names of splits count only where there are folders in them."""
    painted(tmp_path)
    (tmp_path / "a").rename(tmp_path / "train")
    (tmp_path / "b").rename(tmp_path / "test")
    assert read(tmp_path).class_names == ("test", "train")


def test_transparency_is_dropped_and_grey_becomes_colour(tmp_path: Path) -> None:
    assert read(painted(tmp_path / "rgba", "RGBA")).shape == (3, 5, 3)
    mixed = painted(tmp_path / "mixed")
    grey = read(mixed)
    Image.open(mixed / "a" / "0.png").convert("RGB").save(mixed / "a" / "0.png")
    data = read(mixed)
    assert data.shape == (3, 5, 3)
    for name in SPLITS:  # grey ones are the same in all three
        np.testing.assert_array_equal(
            data.splits[name].images, np.repeat(grey.splits[name].images, 3, axis=3)
        )


def test_wrong_image_folders(tmp_path: Path) -> None:
    folder = painted(tmp_path / "set")
    odd = folder / "b" / "2.png"
    right = odd.read_bytes()
    Image.new("L", (3, 5)).save(odd)
    assert f"{odd} is 3x5 pixels, but {folder / 'a' / '0.png'} is 5x3" in refusal(read, folder)
    for wrong in (b"", b"no image", right[:50], right[:30], right[:45] + b"x" + right[46:]):
        odd.write_bytes(wrong)
        assert refusal(read, folder).startswith(f"{odd} is no readable image")
    Image.fromarray(np.full((3, 5), 40_000, np.uint16)).save(odd)
    assert "save it with 8 bits per channel" in refusal(read, folder)
    odd.write_bytes(right)
    (folder / "empty").mkdir()
    assert f"{folder / 'empty'} holds no images" in refusal(read, folder)
    (folder / "empty").rmdir()
    assert sizes(read(folder)) == (4, 2, 2)
    (tmp_path / "nothing").mkdir()
    assert "is no data set; own data is" in refusal(read, tmp_path / "nothing")
    only = painted(tmp_path / "only")
    shutil.rmtree(only / "a")
    assert "1 classes" in refusal(read, only)
