"""The command line: `image-gateway`, also `python -m service`.

Rule: the garbage collector rests while the commands are imported, and never looks at what they brought. They make no
garbage worth a look, and looking again and again is 4 % of what their import takes.
"""

import gc


def main() -> None:
    """The console command."""
    gc.disable()
    from service.commands.cli import run_cli  # noqa: PLC0415 (everything there is, while the collector rests)

    gc.freeze()
    gc.enable()
    run_cli()


if __name__ == "__main__":
    main()
