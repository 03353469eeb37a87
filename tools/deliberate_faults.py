"""Deliberate faults: one in each package, and the checks that catch it. `make deliberate-faults`; an hour, or less.

Rule: a seed chooses a function of each package and a change of it (`tools/mutations.py`). It is made in a copy of the
files, which goes afterwards; the checkout stays as it is. The quick checks run first, and the other tests where those
found nothing. A test that fails runs again with the fault and without it: it has caught it if it fails, then passes.
Fails with: the number of faults that nothing caught. Such a fault needs a test, or changes nothing that can be seen.
"""

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from tools.mutations import PACKAGES, Fault, choose

ROOT = Path(__file__).parents[1]
PROGRAMS = Path(sys.executable).parent
QUICK_SECONDS, TEST_SECONDS, GRACE_SECONDS = 900, 3600, 30
FAILURES = (
    re.compile(r"^(?:FAILED|ERROR) (.+?)(?: - .*)?$", re.MULTILINE),
    re.compile(r"^(\S+:\d+:.*)$", re.MULTILINE),
)
"""A failure as pytest writes it, and as ruff and mypy do."""


def pytest(*arguments: str) -> Sequence[str]:
    """Return the command that runs tests until some fail. On a busy machine one may fail for another reason."""
    return (sys.executable, "-m", "pytest", "-q", "--maxfail=5", *arguments)


SIDE_BY_SIDE = ("-n", "2", "--dist", "worksteal")
STATIC: Mapping[str, Sequence[str]] = {
    "lint": (str(PROGRAMS / "ruff"), "check", "--output-format=concise", "."),
    "types": (str(PROGRAMS / "mypy"),),
    "contracts": (str(PROGRAMS / "lint-imports"),),
}
QUICK = {**STATIC, "unit": pytest(*SIDE_BY_SIDE, "tests/unit")}


@contextmanager
def copied(root: Path) -> Iterator[Path]:
    """Copy the files of a checkout, with links to its environments. Gone afterwards, and so is what was changed."""
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, cwd=root, capture_output=True, text=True, check=True).stdout.split("\0")
    with tempfile.TemporaryDirectory(prefix="deliberate-faults-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        for file in filter(None, names):
            if (root / file).is_file():
                (folder / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(root / file, folder / file, follow_symlinks=False)
        for command in (["init", "--quiet"], ["add", "--all"]):  # a test asks git for the files
            subprocess.run(["git", *command], cwd=folder, check=True)
        for environment in (*root.glob(".venv*"), *root.glob(".tools")):
            (folder / environment.name).symlink_to(environment)
        if (root / ".mypy_cache").exists():
            shutil.copytree(root / ".mypy_cache", folder / ".mypy_cache")
        yield folder


def failures(folder: Path, command: Sequence[str], seconds: float) -> Sequence[str]:
    """Run a command until it or its time ends. Returns its failures."""
    environment = os.environ | {"PYTHONPATH": str(folder)}  # goes before the checkout, which .venv has installed
    with (
        tempfile.TemporaryFile("w+") as output,
        subprocess.Popen(
            command, cwd=folder, env=environment, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        ) as process,
    ):
        try:
            code = process.wait(seconds)
        except subprocess.TimeoutExpired:
            return [f"it does not end in {seconds:.0f} s"]
        finally:
            if process.returncode is None:
                end_group(process)
        output.seek(0)
        text = output.read()
    if code == 0:
        return []
    listed = next((texts for pattern in FAILURES if (texts := pattern.findall(text))), [])
    return listed or [text.strip().rpartition("\n")[2] or "it fails"]


def end_group(process: subprocess.Popen[bytes]) -> None:
    """End a command and the processes that it has started. No other process is in its group."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError, subprocess.TimeoutExpired):
            os.killpg(process.pid, number)
            process.wait(GRACE_SECONDS)


@contextmanager
def made(folder: Path, fault: Fault) -> Iterator[None]:
    """Make a fault. The copy is as before afterwards."""
    file = folder / fault.file
    source, times = file.read_bytes(), file.stat()
    file.write_bytes(fault.applied(source))
    try:
        subprocess.run([PROGRAMS / "ruff", "format", "--quiet", file], cwd=folder, check=True)
        yield
    finally:
        file.write_bytes(source)
        os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))


def catches(
    folder: Path,
    fault: Fault,
    checks: Mapping[str, Sequence[str]],
    seconds: float = QUICK_SECONDS,
    again: Callable[[str], Sequence[str]] = pytest,
) -> Mapping[str, str]:
    """Return the checks that catch a fault, each with its first failure.

    A test counts if it fails twice with the fault and passes without it: a busy machine may fail a test once.
    """

    def is_test(name: str, text: str) -> bool:
        return text.startswith("tests/") and name not in STATIC

    def fails(text: str) -> bool:
        return text in failures(folder, again(text), QUICK_SECONDS)

    with made(folder, fault):
        failed = {name: failures(folder, command, seconds) for name, command in checks.items()}
        lasting = {
            name: [text for text in texts if not is_test(name, text) or fails(text)] for name, texts in failed.items()
        }
    firsts = {
        name: next((text for text in texts if not is_test(name, text) or not fails(text)), "")
        for name, texts in lasting.items()
    }
    return {name: text for name, text in firsts.items() if text}


def cell(text: str) -> str:
    """Return a text as a cell of a table."""
    return text.replace("|", "\\|")


def report(folder: Path, chosen: Sequence[tuple[str, Fault]], rest: Sequence[str] | None) -> int:
    """Print a row for each fault as soon as it is known, and the sums. Returns how many nothing caught."""
    wrong = {name: texts for name, command in STATIC.items() if (texts := failures(folder, command, QUICK_SECONDS))}
    if wrong:
        sys.exit(f"without any fault: {wrong}")
    print("| Package | Place | Kind | Fault | Caught by | First failure |\n|---|---|---|---|---|---|")
    by_quick = by_any = 0
    for package, fault in chosen:
        shown = fault.shown((folder / fault.file).read_bytes())
        caught = catches(folder, fault, QUICK)
        if rest and not caught:
            caught = catches(folder, fault, {"test": rest}, TEST_SECONDS)
        by_quick, by_any = by_quick + bool(caught.keys() & QUICK.keys()), by_any + bool(caught)
        cells = (package or "service", fault.place, fault.kind, shown, ", ".join(caught) or "nothing")
        print("|", " | ".join(map(cell, (*cells, *[*caught.values()][-1:]))), "|", flush=True)
    print(f"\n{len(chosen)} faults: {by_quick} caught by `make quick`, {by_any} by all that ran")
    return len(chosen) - by_any


def arguments() -> argparse.Namespace:
    """Return what the command line asks for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seed", default="1", help="another one chooses other faults")
    parser.add_argument("--count", type=int, default=10, help="number of faults; packages follow one another")
    parser.add_argument("--only", choices=PACKAGES, help="faults of one package")
    parser.add_argument("--quick-only", action="store_true", help="run the checks of `make quick`, and no other")
    parser.add_argument(
        "--tests", nargs="+", default=["--ignore=tests/unit"], help="run these where quick finds nothing"
    )
    return parser.parse_args()


def main() -> int:
    """Examine the faults that are asked for. Returns how many nothing caught."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by a signal"))
    asked = arguments()
    packages = PACKAGES if asked.only is None else (asked.only,)
    rounds = [(packages[number % len(packages)], number // len(packages)) for number in range(asked.count)]
    chosen = [(package, choose(ROOT, package, f"{asked.seed} {number}")) for package, number in rounds]
    with copied(ROOT) as folder:
        return report(folder, chosen, None if asked.quick_only else pytest(*SIDE_BY_SIDE, *asked.tests))


if __name__ == "__main__":
    sys.exit(main())
