"""`python -m rlbench` is `rlbench`. Ctrl-C ends it without a traceback from here on."""

import atexit
import os
import signal


def main() -> None:
    """Run the command line."""
    signal.signal(signal.SIGINT, lambda *_: os._exit(130))  # while the next lines import
    from rlbench.cli.main import main as command_line
    from rlbench.execution.stopping import on_ctrl_c

    signal.signal(signal.SIGINT, on_ctrl_c)
    # Python gives the signal its own effect back in the end, and would not keep the exit code.
    atexit.register(signal.signal, signal.SIGINT, signal.SIG_IGN)
    command_line(prog_name="rlbench")


if __name__ == "__main__":
    main()
