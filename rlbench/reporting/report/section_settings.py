"""Section on settings: those that tell entrants apart or were changed, and all others folded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from rlbench.reporting.report import formatting
from rlbench.reporting.report.document import Table, TableCell
from rlbench.reporting.report.inputs import RunRecord, settings_of
from rlbench.reporting.report.report_data import ReportData
from rlbench.reporting.report.section_scores import COLUMNS, LONG

# Settings that have a meaning only where another one has one of these values. Reports import no
# agents, which know it too: a test compares.
ONLY_WITH: dict[str, tuple[str, tuple[str, ...]]] = {
    **dict.fromkeys(("n_atoms", "v_min", "v_max"), ("distribution", ("c51",))),
    "n_quantiles": ("distribution", ("qr",)),
    "kappa": ("distribution", ("qr", "iqn")),
    **{f"iqn_{name}": ("distribution", ("iqn",)) for name in
       ("samples", "target_samples", "acting_samples", "embedding")},
    **{f"prioritized_{name}": ("prioritized", ("true",)) for name in ("alpha", "beta", "eps")},
    "noisy_sigma": ("noisy", ("true",)),
    **{f"exploration_{name}": ("noisy", ("false",)) for name in
       ("initial_eps", "final_eps", "fraction")},
    "loss": ("distribution", ("null",)),
    **dict.fromkeys(("n_sampled_goal", "goal_selection_strategy"), ("her", ("true",))),
    "noise_std": ("noise_type", ("normal", "ornstein-uhlenbeck")),
}  # fmt: skip
ATTENTION, CELLS = ("attention",), ("rnn", "gru", "lstm")
OF_MEMORY: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("hidden_size", "num_layers", "sequence_length", "burn_in"), CELLS + ATTENTION),
    "memory_horizon": CELLS,
    **dict.fromkeys(("attention_window", "attention_heads"), ATTENTION),
}


def matters(name: str, values: Mapping[str, str]) -> bool:
    """Return whether a setting has a meaning among the settings of a run."""
    if name in OF_MEMORY and "encoder" in values:
        return any(memory in values["encoder"] for memory in OF_MEMORY[name])
    switch, wanted = ONLY_WITH.get(name, ("", ()))
    return values.get(switch, wanted[0] if wanted else "") in wanted or not wanted


def settings(data: ReportData) -> Iterator[Table]:
    """Make two tables per environment: settings that differ or were changed, and the others."""
    for env, here in data.cells[data.cells["label"].isin(data.names)].groupby("env"):
        records = {
            cell["label"]: record for _, cell in here.iterrows() if (record := data.record(cell))
        }
        values = {label: _own(record) for label, record in records.items()}
        names = list(dict.fromkeys(name for mine in values.values() for name in mine))
        shown = [name for name in names if _tells(name, values, records)]
        rest = [name for name in names if name not in shown]
        if shown:
            caption = (
                f"{env}: settings that differ between entrants, or from an agent's default "
                "(bold). – : the agent has no such setting, or it has no effect."
            )
            yield _table(caption, shown, values, records, len(shown) > LONG)
        if rest:
            caption = f"{env}: all other settings."
            yield _table(caption, rest, values, records, True)


def _own(record: RunRecord) -> dict[str, str]:
    """Return the settings of a run that have a meaning."""
    values = settings_of(record)
    return {name: value for name, value in values.items() if matters(name, values)}


def _tells(
    name: str, values: Mapping[str, Mapping[str, str]], records: Mapping[str, RunRecord]
) -> bool:
    """Return whether a setting differs between those who have it, or was changed by one."""
    there = [label for label, mine in values.items() if name in mine]
    changed = any(name in (records[label].run.get("changed") or {}) for label in there)
    return changed or len({values[label][name] for label in there}) > 1


def _table(
    caption: str,
    names: list[str],
    values: Mapping[str, Mapping[str, str]],
    records: Mapping[str, RunRecord],
    folded: bool,
) -> Table:
    """Make a row for each setting; with many entrants a row for each of them."""
    if len(values) > COLUMNS:
        rows = [
            [
                TableCell(label, key=label),
                TableCell(", ".join(f"{name}={mine[name]}" for name in names if name in mine)),
            ]
            for label, mine in values.items()
        ]
        return Table(caption.replace(" (bold)", ""), ["*entrant", "*settings"], rows, folded)
    rows = [
        [TableCell(name), *(_setting(name, values[label], records[label]) for label in values)]
        for name in names
    ]
    return Table(caption, ["*setting", *(f"*{label}" for label in values)], rows, folded)


def _setting(name: str, values: Mapping[str, str], record: RunRecord) -> TableCell:
    if name not in values:
        return TableCell(formatting.NONE, kind="muted")
    changed = name in (record.run.get("changed") or {})
    return TableCell(values[name], kind="best" if changed else "")
