"""Scripts that make environments: pip's settings reach uv, and a lock also pins packages with extras plainly."""

import importlib.util
from types import ModuleType

import pytest

from tools.supply.locks import REQUIREMENTS, lines


def script(name: str) -> ModuleType:
    """Load a script. The scripts are no package, because they run before one exists."""
    spec = importlib.util.spec_from_file_location(name, REQUIREMENTS / f"{name}.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_settings_of_pip_become_variables_of_uv() -> None:
    listed = """global.index-url='https://mirror.example/simple'
global.extra-index-url='\\nhttps://one.example/simple\\nhttps://two.example/simple'
install.find-links='/wheels /more'
global.timeout='60'
:env:.cert='/etc/ca.pem'
"""

    assert script("install").settings_for_uv(listed) == {
        "UV_DEFAULT_INDEX": "https://mirror.example/simple",
        "UV_INDEX": "https://one.example/simple https://two.example/simple",
        "UV_FIND_LINKS": "/wheels,/more",
        "SSL_CERT_FILE": "/etc/ca.pem",
    }


def test_a_later_setting_of_pip_overrides_an_earlier_one() -> None:
    listed = "global.index-url='https://file.example'\n:env:.index-url='https://variable.example'\n"

    assert script("install").settings_for_uv(listed) == {"UV_DEFAULT_INDEX": "https://variable.example"}


def test_a_variable_of_uv_overrides_the_settings_of_pip() -> None:
    variables = {"UV_DEFAULT_INDEX": "https://uv.example", "SSL_CERT_FILE": "/etc/ca.pem"}

    assert script("install").environment("global.index-url='https://pip.example'\n", variables) == variables


def test_a_pin_with_extras_is_also_pinned_without_them() -> None:
    lock = (
        "redis[hiredis]==8.1.0 ; python_version > '3' \\\n    --hash=sha256:aa \\\n    --hash=sha256:bb\n    # via x\n"
    )

    plain = script("plain_pins").with_plain_pins(lock)

    assert plain == "redis==8.1.0 ; python_version > '3' \\\n    --hash=sha256:aa \\\n    --hash=sha256:bb\n" + lock


@pytest.mark.parametrize("file", sorted(path.name for path in REQUIREMENTS.glob("*.txt")))
def test_every_lock_also_pins_packages_with_extras_plainly(file: str) -> None:
    pins = lines(file)
    plain = {(pin.name, str(pin.specifier)) for pin in pins if not pin.extras}

    assert {(pin.name, str(pin.specifier)) for pin in pins if pin.extras} <= plain
