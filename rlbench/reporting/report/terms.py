"""Words of a report that are explained where they stand, and in its glossary."""

from __future__ import annotations

import re
from collections.abc import Iterable

from markupsafe import Markup, escape

# What each word means, and how it may be written: the first spelling is that of the glossary.
TERMS: dict[tuple[str, ...], str] = {
    ("95 % interval", "95 % intervals"): "a range that would hold the true mean in 95 of 100 "
    "repetitions of the experiment; it is over seeds",
    ("Student-t interval", "Student's t", "Student-t", "t-interval"): "the usual interval of a "
    "mean: it assumes that scores of seeds spread like a bell curve",
    ("Welch's interval", "Welch's t", "Welch's"): "for a difference of two means whose spreads may "
    "differ",
    ("Clopper-Pearson interval", "Clopper and Pearson's"): "an interval of a share, such as 7 of "
    "10 seeds, which is never too short",
    ("bootstrap",): "an interval from drawing the seeds again and again, with replacement",
    ("p",): "how often chance alone would show a difference as large as this one; small is sure",
    ("permutation test", "tested by permutation"): "mixes up which entrant each score belongs to, "
    "and counts how often the difference is as large as the one marked",
    ("Holm", "Holm-adjusted"): "makes p larger where many comparisons are tested at once, so that "
    "all decisions together are wrong in at most 5 of 100 reports",
    ("undecided",): "the seeds cannot tell which is better; it does not mean equal",
    ("tied",): "all seeds of both have the same score",
    ("IQM",): "interquartile mean: the mean of the middle half of all scores, which a few lucky or "
    "failed seeds do not move",
    ("optimality gap",): "how far scores fall short of 1 on average; less is better",
    ("normalised", "Normalised"): "scaled so that the random policy is 0 and a "
    "reference score is 1",
    ("performance profiles", "Performance profiles"): "for each score, the share of runs that "
    "reached more",
    ("Hedges’ g",): "a difference in units of the spread over seeds; 0.8 and more is large",
    ("P(first > second)", "Probability that a random seed"): "how often a seed of the first, drawn "
    "at random, scores more than one of the second; 0.50 is no difference",
    ("random policy",): "acts at random: the score that needs no learning",
    ("reward threshold", "threshold"): "the return from which on the environment counts as solved",
    ("lost seed", "lost seeds", "Lost seeds"): "a seed that ended without a score: diverged, "
    "failed, or out of time",
    ("in lockstep", "lockstep"): "seeds that train together as one program, and share its time",
    ("mean of the curve",): "the mean height of a learning curve: early success counts",
    ("G-mean", "G-mean %"): "geometric mean of the recalls of all classes, for unequal classes",
    ("preset", "presets"): "parameters tuned for an environment, which come with rlbench",
}  # fmt: skip
_MEANINGS = {spelling: text for spellings, text in TERMS.items() for spelling in spellings}
_NAMES = {spelling: spellings[0] for spellings in TERMS for spelling in spellings}
_WORD = re.compile(
    "|".join(rf"(?<![\w-]){re.escape(word)}(?![\w-])" for word in sorted(_NAMES, key=len)[::-1])
)


def explained(text: object, known: set[str]) -> Markup:
    """Escape text, and mark the first use of each word with its meaning as a title.

    Words in `known`, the names of entrants, are names there.
    """
    text, marked = str(text), set(known)
    parts, end = [], 0
    for match in _WORD.finditer(text):
        name = _NAMES[match[0]]
        if name in marked or match[0] in known or (name == "p" and not _is_p(text, match)):
            continue
        marked.add(name)
        parts += [
            escape(text[end : match.start()]),
            Markup('<abbr title="{}">{}</abbr>').format(_MEANINGS[match[0]], match[0]),
        ]
        end = match.end()
    return Markup("").join([*parts, escape(text[end:])])


def _is_p(text: str, match: re.Match[str]) -> bool:
    """Return whether a lone p is the number of a test."""
    return bool(re.match(r"( [=<≤]|, adjusted| of a|$|;)", text[match.end() :]))


def used(texts: Iterable[str]) -> dict[str, str]:
    """Return the words that these texts use, with their meanings."""
    whole = "\n".join(texts)
    names = {
        _NAMES[match[0]]
        for match in _WORD.finditer(whole)
        if match[0] != "p" or _is_p(whole, match)
    }
    return {name: _MEANINGS[name] for name in sorted(names, key=str.lower)}
