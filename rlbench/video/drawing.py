"""Pictures of a film: the environment, a caption, bars of what actions were chosen by, saliency."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from rlbench.common.number_format import number_text
from rlbench.video.choices import ActionChoice

LEAST, MOST = 240, 420  # pixels of a picture's height,
MOST_OF_SEVERAL = 280  # and where there are several side by side
CAPTION, TITLE, SIDE, GAP = 26, 20, 150, 8  # pixels
PAPER, INK, GREY, MARK = (255, 255, 255), (20, 20, 20), (176, 184, 194), (24, 104, 183)
HEAT = np.array([227, 40, 30], np.float32)


class FilmPanel(NamedTuple):
    """What is shown of one seed at one step."""

    picture: Image.Image
    caption: str
    choice: ActionChoice | None = None
    seen: tuple[np.ndarray, np.ndarray] | None = None  # an image and its saliency, (H, W), 0 to 1


class Bounds:
    """Range of the bars of a panel: all values so far, and 0."""

    def __init__(self) -> None:
        self.low = self.high = 0.0

    def see(self, values: np.ndarray) -> None:
        """Widen the range to these values."""
        finite = values[np.isfinite(values)]
        self.low = min(self.low, *finite.tolist(), 0.0)
        self.high = max(self.high, *finite.tolist(), 0.0)


def beside(pictures: Sequence[Image.Image]) -> Image.Image:
    """Put pictures side by side."""
    width = sum(each.width for each in pictures) + GAP * (len(pictures) - 1)
    canvas = Image.new("RGB", (width, max(each.height for each in pictures)), PAPER)
    left = 0
    for each in pictures:
        canvas.paste(each, (left, 0))
        left += each.width + GAP
    return canvas


def draw(panel: FilmPanel, bounds: Bounds, most: int = MOST) -> Image.Image:
    """Draw what is shown of one seed; `bounds` are widened to the values that it chose by."""
    picture = _sized(panel.picture.convert("RGB"), most)
    sides = []
    if panel.choice is not None:
        whole = [1.0] if panel.choice.title == "probability" else []
        bounds.see(np.append(panel.choice.values, whole))
        sides.append(_bars(panel.choice, bounds, picture.height))
    if panel.seen is not None:
        sides.append(_heat(*panel.seen, picture.height))
    width = picture.width + sum(side.width + GAP for side in sides)
    canvas = Image.new("RGB", (width, picture.height + CAPTION), PAPER)
    ImageDraw.Draw(canvas).text((GAP, 5), panel.caption, fill=INK, font=_font(15))
    canvas.paste(picture, (0, CAPTION))
    left = picture.width + GAP
    for side in sides:
        canvas.paste(side, (left, CAPTION))
        left += side.width + GAP
    return canvas


@functools.cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size=size)


def _sized(picture: Image.Image, most: int) -> Image.Image:
    """Scale a picture to a height between LEAST and `most`; small ones keep their pixels."""
    width, height = picture.size
    if height < LEAST:
        factor = -(-LEAST // height)
        return picture.resize((width * factor, height * factor), Image.Resampling.NEAREST)
    if height > most:
        return picture.resize((max(1, round(width * most / height)), most))
    return picture


def _bars(choice: ActionChoice, bounds: Bounds, height: int) -> Image.Image:
    """Draw a bar per action from 0 on; those of chosen actions are marked."""
    canvas = Image.new("RGB", (SIDE, height), PAPER)
    pen = ImageDraw.Draw(canvas)
    pen.text((0, 0), choice.title, fill=INK, font=_font(13))
    top, span = TITLE, bounds.high - bounds.low or 1.0
    row = min((height - top) / max(len(choice.values), 1), 44.0)
    size = int(max(min(row * 0.45, 12), 6))
    left, right = 18, SIDE - 4
    zero = left + (0.0 - bounds.low) / span * (right - left)
    for place, value in enumerate(choice.values):
        y = top + place * row
        color = MARK if place in choice.chosen or not choice.chosen else GREY
        if np.isfinite(value):
            end = left + (float(value) - bounds.low) / span * (right - left)
            box = (min(zero, end), y + 1, max(zero, end), y + max(row * 0.55, 2) - 1)
            pen.rectangle(box, fill=color)
        if row >= 9:
            pen.text((2, y), str(place), fill=INK, font=_font(size))
        if row >= 22:
            text = number_text(float(value)) if choice.title != "probability" else f"{value:.2f}"
            pen.text((left, y + row * 0.55), text, fill=INK, font=_font(10))
    pen.line((zero, top, zero, top + row * len(choice.values)), fill=INK)
    return canvas


def _heat(image: np.ndarray, strength: np.ndarray, height: int) -> Image.Image:
    """Draw an image in grey, and in red over it where the choice depends on it."""
    grey = np.repeat(image[..., None], 3, -1).astype(np.float32) * 150.0 + 60.0
    share = strength[..., None].astype(np.float32)
    pixels = (grey * (1.0 - share) + HEAT * share).clip(0, 255).astype(np.uint8)
    factor = max(1, min(height - TITLE, SIDE * 2) // image.shape[0])
    picture = Image.fromarray(pixels)
    size = (picture.width * factor, picture.height * factor)
    canvas = Image.new("RGB", (max(size[0], SIDE), height), PAPER)
    ImageDraw.Draw(canvas).text((0, 0), "saliency", fill=INK, font=_font(13))
    canvas.paste(picture.resize(size, Image.Resampling.NEAREST), (0, TITLE))
    return canvas
