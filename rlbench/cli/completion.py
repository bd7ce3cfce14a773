"""Shell completion: what may stand in an argument or option, and the script that shells load.

Completion runs at every press of the tab key, so nothing here imports torch.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

import click
from click.shell_completion import CompletionItem, get_completion_class

from rlbench import plugins
from rlbench.errors import UserError

VARIABLE = "_RLBENCH_COMPLETE"  # by which a shell asks for completions
Completer = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


def _fitting(texts: Mapping[str, str], start: str) -> list[CompletionItem]:
    return [
        CompletionItem(name, help=text) for name, text in texts.items() if name.startswith(start)
    ]


def _or_path(items: list[CompletionItem], start: str) -> list[CompletionItem]:
    """Leave it to the shell to complete a path where nothing else fits."""
    return items or [CompletionItem(start, type="file")]


def agents(ctx: click.Context, param: click.Parameter, start: str) -> list[CompletionItem]:
    """Complete an agent."""
    from rlbench import registry

    return _fitting(registry.agents(), start)


def envs(ctx: click.Context, param: click.Parameter, start: str) -> list[CompletionItem]:
    """Complete the id of a registered env; for `module:EnvId` there is no list."""
    import gymnasium

    from rlbench.learning.environments.packages import PACKAGES

    for package in PACKAGES:  # those with names of their own are slow to import
        named = (each.startswith(start) or start.startswith(each) for each in package.ids)
        if not package.ids or (start and any(named)):
            package.register()
    with contextlib.suppress(UserError):
        plugins.register_for(start)
    spaces = [f"{name}/" for name in plugins.names("envs", ()) if start != f"{name}/"]
    return _fitting(dict.fromkeys(sorted([*gymnasium.registry, *spaces]), ""), start)


def encoders(ctx: click.Context, param: click.Parameter, start: str) -> list[CompletionItem]:
    """Complete an encoder."""
    from rlbench import registry

    return _fitting(
        {name: text for name, text in registry.encoders().items() if ":" not in name}, start
    )


def wrappers(ctx: click.Context, param: click.Parameter, start: str) -> list[CompletionItem]:
    """Complete a wrapper: ours, or a class of Gymnasium's."""
    import gymnasium.wrappers

    from rlbench.envs.wrappers import WRAPPERS

    ours = {name: text for name, (_, text) in WRAPPERS.items()}
    theirs = [name for name in gymnasium.wrappers.__all__ if name[0].isupper()]
    added = plugins.names("wrappers", [*ours, *theirs])
    texts = {name: plugins.source(plugin) for name, plugin in added.items()}
    return _fitting({**ours, **dict.fromkeys(theirs, ""), **texts}, start)


def suites(ctx: click.Context, param: click.Parameter, start: str) -> list[CompletionItem]:
    """Complete a suite, or the path of a TOML file."""
    return _or_path(_fitting(_suites(), start), start)


def runs(ctx: click.Context, param: click.Parameter, start: str) -> list[CompletionItem]:
    """Complete a run: by its name, by its folder's name where others share that, or a path."""
    return _or_path(_fitting(_runs(ctx, start), start), start)


def shown(ctx: click.Context, param: click.Parameter, start: str) -> list[CompletionItem]:
    """Complete what `rlbench show` takes: an agent, a suite or a run."""
    from rlbench import registry

    names = {**registry.agents(), **_suites(), **_runs(ctx, start)}
    return _or_path(_fitting(names, start), start)


def benches(ctx: click.Context, param: click.Parameter, start: str) -> list[CompletionItem]:
    """Complete a bench that has been computed, or a path."""
    files = sorted(_out(ctx).glob("benches/*/suite.json"))
    return _or_path(_fitting(dict.fromkeys((file.parent.name for file in files), ""), start), start)


def datasets(ctx: click.Context, param: click.Parameter, start: str) -> list[CompletionItem]:
    """Complete a data set that has a name, or a path."""
    from rlbench.envs.data.splits import NAMES

    return _or_path(_fitting(dict.fromkeys(NAMES, ""), start), start)


def _suites() -> dict[str, str]:
    from rlbench.experiments import suite

    return {name: each.description for name, each in suite.builtin().items()}


def _runs(ctx: click.Context, start: str) -> dict[str, str]:
    """Name the runs that may begin so; only those are read."""
    from rlbench.storage.run_folder import run_folders
    from rlbench.storage.run_names import LATEST, names_of

    def may_fit(folder: Path) -> bool:
        agent = folder.name.rpartition("-")[0] + "-"
        own = "_" in agent  # package_module_Class
        return own or agent.startswith(start) or start.startswith(agent)

    folders = run_folders(_out(ctx))
    names = names_of(filter(may_fit, folders))
    count = Counter(names.values())
    typed = {
        (name if count[name] == 1 else folder.name): str(folder) for folder, name in names.items()
    }
    latest = {LATEST: "the run that was started or written last"} if folders else {}
    return latest | dict(sorted(typed.items()))


def _out(ctx: click.Context) -> Path:
    return Path(ctx.params.get("out") or "results")


@click.command(short_help="Print the script by which a shell completes.")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the script that lets SHELL complete agents, envs, suites, runs and options.

    \b
    Examples:
      rlbench completion bash > ~/.local/share/bash-completion/completions/rlbench
      rlbench completion zsh > ~/.zfunc/_rlbench
      rlbench completion fish > ~/.config/fish/completions/rlbench.fish
    """  # noqa: D301
    root = click.get_current_context().find_root().command
    kind = get_completion_class(shell)
    assert kind is not None
    click.echo(kind(root, {}, "rlbench", VARIABLE).source())
