"""Driver of one target under atheris: `python -m tools.fuzz.drive TARGET [options of libFuzzer] [folders]`.

Only the gateway's code and the parsers that it relies upon are watched for new paths.
"""

import sys
import time

import atheris

with atheris.instrument_imports(
    include=["service", "multipart", "ruamel.yaml", "yarl", "PIL"], enable_loader_override=False
):
    from tools.fuzz.targets import TARGETS, Target

ONE_INPUT_SECONDS = 5.0  # of CPU; libFuzzer's own limit needs an alarm that Python code may have switched off


def timed(target: Target) -> Target:
    """Return the target with a limit of time: a slow input is a finding."""

    def run(data: bytes) -> None:
        began = time.process_time()
        target(data)
        assert time.process_time() - began < ONE_INPUT_SECONDS

    return run


def main() -> None:
    name, *options = sys.argv[1:]
    atheris.Setup([sys.argv[0], *options], timed(TARGETS[name]))
    atheris.Fuzz()


if __name__ == "__main__":
    main()
