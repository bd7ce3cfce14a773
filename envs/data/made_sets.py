"""Data sets that a stated generator makes: sounds, time series and texts, with a known best rule.

All are arrays of bytes (n, steps, width, 1): a frame of a spectrum, a value or a word in each row.
They are drawn from raw words of a bit generator, which NumPy promises never to change, and are the
same everywhere.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from rlbench.envs.data.validation import ImagePart

SIZES = {"train": 3000, "validation": 500, "test": 1000}

# Tones: 16 frames of 64 samples; a tone is at one frequency of the spectrum in each frame.
FRAMES, SAMPLES, BINS = 16, 64, 32
POWER = 2.0  # of the tone in its frame, where that of the noise is 1 at each frequency
LOWEST, STARTS = 2, 16  # the tones of a class begin at so many frequencies, from this one on
LEVELS = 40.0  # of a byte for each unit of magnitude
_FRAME = np.arange(FRAMES)
PATHS: dict[str, np.ndarray | None] = {  # frequencies above that of the beginning, (FRAMES,)
    "falling": (FRAMES - 1 - _FRAME) // 2,
    "noise": None,
    "rising": _FRAME // 2,
    "steady": 0 * _FRAME,
    "warble": 4 * (_FRAME // 2 % 2),
}

# Series: x[t] = factor x[t - lag] + noise, with variance 1 at all times.
LENGTH, FACTOR, UNIT = 24, 0.8, 32.0  # UNIT: levels of a byte for a standard deviation
PROCESSES = {
    "alternating": (1, -FACTOR),
    "independent": (1, 0.0),
    "period of 4": (2, -FACTOR),
    "persistent": (1, FACTOR),
    "two in turn": (2, FACTOR),
}

# Next value: x[t] = 1.2 x[t - 1] - 0.8 x[t - 2] + noise, with variance 1 at all times.
LAGS = (1.2, -0.8)
NOISE = np.sqrt(0.2)  # 1 - 1.2 r[1] + 0.8 r[2], with autocorrelations 2/3 and 0
FIFTHS = (
    -0.8416212335729143,
    -0.2533471031357997,
)  # of the standard normal; the others mirror them
FIFTH_NAMES = ("1 lowest", "2 low", "3 middle", "4 high", "5 highest")

# Texts: two clauses with an opinion each, of which the main one counts.
WORDS = 12  # of a text, which full stops fill up
NOUNS = ("food", "room", "staff", "view", "price", "bed")
ADVERBS = ("", "very", "rather")
PRAISE, BLAME = ("good", "nice", "fine", "great"), ("bad", "poor", "awful", "dull")
FORMS = ("{other} but {main}", "although {other} , {main}", "{main} although {other}")
CLAUSES: list[tuple[str, ...]] = list(
    itertools.product(NOUNS, ("", "not"), ADVERBS, PRAISE + BLAME)
)
TEXTS = len(FORMS) * len(CLAUSES) ** 2  # of the grammar
VOCABULARY = (".", ",", "although", "but", "not", "was", *ADVERBS[1:], *NOUNS, *PRAISE, *BLAME)


class Shipped(NamedTuple):
    """A data set that needs no files: how it is read, what is in it, and where it comes from."""

    read: Callable[[], dict[str, ImagePart]]
    about: str
    origin: str = "is made by rlbench"


def tones() -> dict[str, ImagePart]:
    """Make sounds of 16 frames: white noise, alone or with a tone that stays, moves or warbles.

    A frame has 64 samples of noise, and a tone at one of 32 frequencies with a random phase, whose
    expected power is POWER. What is shown is the magnitude at each frequency, as LEVELS a unit.

    Frames and frequencies are independent, so that the best rule is known: the power r of a
    frequency is exp(-r) in noise, and exp(-POWER) I0(2 sqrt(POWER r)) times as likely with a tone;
    a class is as likely as the mean of the products of these factors over its 16 paths. That rule
    names 97.3 % of the test sounds.
    """

    def draw(labels: np.ndarray, bits: np.random.PCG64) -> np.ndarray:
        count = len(labels)
        start = LOWEST + (_uniform(bits, count) * STARTS).astype(np.int64)
        phase = 2 * np.pi * _uniform(bits, count, FRAMES)[..., None]
        sound = _normal(bits, count, FRAMES, SAMPLES)
        time = 2 * np.pi * np.arange(SAMPLES) / SAMPLES
        amplitude = 2 * np.sqrt(POWER / SAMPLES)
        for label, path in enumerate(PATHS.values()):
            if path is not None:
                here = labels == label
                cycles = (start[here, None] + path)[..., None]
                sound[here] += amplitude * np.cos(cycles * time + phase[here])
        spectrum = np.fft.rfft(sound)[..., :BINS] / np.sqrt(SAMPLES)
        return np.rint(LEVELS * np.abs(spectrum)).clip(0, 255)

    return _splits("tones", tuple(PATHS), draw)


def series() -> dict[str, ImagePart]:
    """Make time series of 24 values from five stationary Gaussian processes.

    Each value is normal with mean 0 and variance 1 in all classes and at all times, so that a
    single value says nothing: without memory every policy is at chance. Value t depends on value
    t - 1 or t - 2 by a FACTOR of 0.8 or -0.8, or on none. Shown are UNIT levels for a standard
    deviation, around 128. The largest likelihood, which is the best rule, names 97.6 % of the test
    series.
    """

    def draw(labels: np.ndarray, bits: np.random.PCG64) -> np.ndarray:
        values = _normal(bits, len(labels), LENGTH)
        for label, (lag, factor) in enumerate(PROCESSES.values()):
            here = values[labels == label]
            for t in range(lag, LENGTH):
                here[:, t] = factor * here[:, t - lag] + np.sqrt(1 - factor**2) * here[:, t]
            values[labels == label] = here
        return np.rint(128 + UNIT * values).clip(0, 255)[..., None]

    return _splits("series", tuple(PROCESSES), draw)


def next_value() -> dict[str, ImagePart]:
    """Make time series of 24 values, to be told in which fifth of its distribution the next is.

    The process is Gaussian and of second order: it swings with a period of about 7.5 values, which
    no single value shows the phase of. Shown are UNIT levels for a standard deviation, around 128.

    Given the last two values the next one is normal with a deviation of NOISE, so that the best
    rule names the fifth of largest probability: that of 56.9 % of the test series.
    By the last value alone the best is 40.3 %.
    """
    parts = {}
    for number, (split, size) in enumerate(SIZES.items()):
        values = _normal(_bits("next-value", number), size, LENGTH + 1)
        values[:, 1] = 2 / 3 * values[:, 0] + np.sqrt(1 - 4 / 9) * values[:, 1]
        for t in range(2, LENGTH + 1):
            before = LAGS[0] * values[:, t - 1] + LAGS[1] * values[:, t - 2]
            values[:, t] = before + NOISE * values[:, t]
        rows = np.rint(128 + UNIT * values[:, :-1]).clip(0, 255).astype(np.uint8)
        fifth = np.digitize(values[:, -1], [*FIFTHS, *(-x for x in FIFTHS[::-1])])
        parts[split] = ImagePart(rows[..., None, None], np.array(FIFTH_NAMES)[fifth], "next-value")
    return parts


def texts() -> dict[str, ImagePart]:
    """Make short reviews, a one-hot word of the VOCABULARY in each of 12 rows.

    A clause has an opinion, as in "food was not very good". Two of them are joined by "but" or
    "although", and the label is the opinion of the main clause: of the one behind "but", and of the
    one without "although". No text comes twice, so those of the test were never trained on.

    The label is a function of the text: the optimum is all of them. Of all texts of the grammar,
    the best rule that knows the words but not their order names 62.5 %, and the best by the last
    row 51.9 %.
    """
    order = np.argsort(_bits("texts", 0).random_raw(TEXTS), kind="stable")
    parts, begin = {}, 0
    for split, size in SIZES.items():
        chosen = order[begin : begin + size]
        begin += size
        lines = [text(number) for number in chosen.tolist()]
        numbers = [[VOCABULARY.index(word) for word in line.split()] for line, _ in lines]
        shown = np.zeros((size, WORDS, len(VOCABULARY), 1), np.uint8)
        np.put_along_axis(shown, np.array(numbers)[..., None, None], np.uint8(255), 2)
        parts[split] = ImagePart(shown, np.array([label for _, label in lines]), "texts")
    return parts


def text(number: int) -> tuple[str, str]:
    """Return text `number` of TEXTS, filled up with full stops, and its label."""
    rest, main = divmod(number, len(CLAUSES))
    form, other = divmod(rest, len(CLAUSES))
    _, negation, _, adjective = CLAUSES[main]
    said = {
        name: " ".join(word for word in (noun, "was", *others) if word)
        for name, (noun, *others) in (("main", CLAUSES[main]), ("other", CLAUSES[other]))
    }
    line = FORMS[form].format(**said).split()
    praise = (adjective in PRAISE) != bool(negation)
    return " ".join(line + ["."] * (WORDS - len(line))), "praise" if praise else "complaint"


def _splits(
    name: str, classes: tuple[str, ...], draw: Callable[[np.ndarray, np.random.PCG64], np.ndarray]
) -> dict[str, ImagePart]:
    """Draw every split from a generator of its own, with as many of each class."""
    parts = {}
    for number, (split, size) in enumerate(SIZES.items()):
        bits = _bits(name, number)
        labels = np.argsort(bits.random_raw(size), kind="stable") % len(classes)
        rows = draw(labels, bits).astype(np.uint8)[..., None]
        parts[split] = ImagePart(rows, np.array(classes)[labels], name)
    return parts


def _bits(name: str, number: int) -> np.random.PCG64:
    key = (*name.encode(), number)
    return np.random.PCG64(np.random.SeedSequence(0, spawn_key=key))


def _uniform(bits: np.random.PCG64, *shape: int) -> np.ndarray:
    """Draw numbers from [0, 1)."""
    raw = bits.random_raw(int(np.prod(shape))).reshape(shape)
    return (raw >> np.uint64(11)) * 2.0**-53


def _normal(bits: np.random.PCG64, *shape: int) -> np.ndarray:
    """Draw standard normal numbers (Box & Muller 1958)."""
    radius = np.sqrt(-2 * np.log1p(-_uniform(bits, *shape)))
    return radius * np.cos(2 * np.pi * _uniform(bits, *shape))


SETS = {
    "next-value": Shipped(
        next_value, "4,500 series of 24 values, and the fifth that the next is in"
    ),
    "series": Shipped(series, "4,500 series of 24 values, 5 classes"),
    "texts": Shipped(texts, f"4,500 texts of 12 words out of {len(VOCABULARY)}, 2 classes"),
    "tones": Shipped(tones, "4,500 sounds of 16 frames at 32 frequencies, 5 classes"),
}
