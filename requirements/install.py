"""Make an environment that holds exactly what a lock names: `install.py ENVIRONMENT LOCK [LOCK ...]`.

`--project` installs this project into it as well, so that an edited file counts at once.
`--uv COMMAND ...` passes the rest on to the installer itself.

Rule: uv is the installer. Its own lock, uv.txt, has one package without dependencies, so any pip that knows hashes can
install that. Every other lock is installed whole and nothing is resolved: a later release on an index changes nothing.
Fails with: the exit code and the message of pip or uv. Standard library only, for every Python from 3.11 on.

pip's settings hold for uv too: index, extra index, links, proxy, trusted hosts, authorities. A variable of uv's own in
the environment (`UV_DEFAULT_INDEX`, `SSL_CERT_FILE`, ...) goes before them.
"""

import hashlib
import os
import ssl
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

HERE = Path(__file__).resolve().parent
TOOLS = HERE.parent / ".tools"
LOCK = HERE / "uv.txt"

FROM_PIP = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "find-links": "UV_FIND_LINKS",
    "trusted-host": "UV_INSECURE_HOST",
    "cert": "SSL_CERT_FILE",
    "proxy": "ALL_PROXY",
    "no-index": "UV_NO_INDEX",
}
"""A setting of pip, and the variable in which uv reads the same."""

SEPARATORS = {"UV_FIND_LINKS": ","}
"""pip separates several values by white space, and so does uv, except here."""


def settings_for_uv(listed: str) -> dict[str, str]:
    """Translate the output of `pip config list` into uv's variables. Later lines go before earlier ones, as in pip."""
    found: dict[str, str] = {}
    for line in listed.splitlines():
        name, _, value = line.partition("=")
        variable = FROM_PIP.get(name.rpartition(".")[2])
        scope = name.rpartition(".")[0]
        if variable and scope in {"global", "install", ":env:"}:
            words = value.strip("'\"").replace("\\n", " ").split()
            found[variable] = SEPARATORS.get(variable, " ").join(words)
    return found


def authorities() -> str:
    """Write the authorities that pip trusts, its own and the system's, into one file. Returns its path."""
    from pip._vendor import certifi  # noqa: PLC0415 (only where no setting names a file)

    system = ssl.get_default_verify_paths().cafile
    bundle = TOOLS / "authorities.pem"
    texts = [Path(path).read_text("utf-8") for path in dict.fromkeys((certifi.where(), system)) if path]
    bundle.write_text("\n".join(texts), "utf-8")
    return str(bundle)


def environment(listed: str, given: Mapping[str, str]) -> dict[str, str]:
    """Return the variables for uv: those given, then pip's settings, then the authorities that pip trusts."""
    variables = settings_for_uv(listed) | given
    if "SSL_CERT_FILE" not in variables:
        variables["SSL_CERT_FILE"] = authorities()
    return variables


def installer() -> str:
    """Return the path of the locked uv, which pip installs beside the project when it is not there yet."""
    target = TOOLS / f"uv-{hashlib.sha256(LOCK.read_bytes()).hexdigest()[:12]}"
    program = target / "bin" / "uv"
    if not program.exists():
        options = ["--quiet", "--disable-pip-version-check", "--no-deps", "--require-hashes", "--only-binary", ":all:"]
        command = [sys.executable, "-m", "pip", "install", *options, "--target", str(target), "-r", str(LOCK)]
        subprocess.run(command, check=True, env=os.environ | {"PIP_ROOT_USER_ACTION": "ignore"})
    return str(program)


def main(arguments: list[str]) -> None:
    """Make the environment, or pass arguments on to uv."""
    TOOLS.mkdir(exist_ok=True)
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], check=True, stdout=subprocess.PIPE, text=True
    )
    variables, uv = environment(listed.stdout, os.environ), installer()
    if arguments[0] == "--uv":
        subprocess.run([uv, *arguments[1:]], check=True, env=variables)
        return
    project = "--project" in arguments
    target, *locks = [argument for argument in arguments if argument != "--project"]
    if not Path(target, "pyvenv.cfg").exists():
        subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, target], check=True, env=variables)
    into = ["--quiet", "--python", target]
    subprocess.run([uv, "pip", "sync", *into, "--require-hashes", *locks], check=True, env=variables)
    if project:
        edited = ["--no-deps", "--no-index", "--no-build-isolation", "--editable", str(HERE.parent)]
        subprocess.run([uv, "pip", "install", *into, *edited], check=True, env=variables)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except subprocess.CalledProcessError as failed:
        sys.exit(failed.returncode)
