"""Entry point of the command line: `image-gateway`, also `python -m service`.

Rule: the garbage collector is off while the commands are imported, and ignores the imported objects afterwards. The
import leaves no garbage, and collecting takes 4 % of its time.
"""

import gc


def main() -> None:
    """Run the console command."""
    gc.disable()
    from service.commands.cli import run_cli  # noqa: PLC0415 (all imports, while the collector is off)

    gc.freeze()
    gc.enable()
    run_cli()


if __name__ == "__main__":
    main()
