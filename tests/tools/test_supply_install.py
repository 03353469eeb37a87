"""The scripts that make environments: pip's settings reach uv, and a lock pins what has extras plainly too."""

import importlib.util
from types import ModuleType

import pytest

from tools.supply.locks import REQUIREMENTS, lines


def script(name: str) -> ModuleType:
    """The scripts are no package: they run before there is one."""
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


def test_a_later_setting_of_pip_goes_before_an_earlier_one() -> None:
    listed = "global.index-url='https://file.example'\n:env:.index-url='https://variable.example'\n"

    assert script("install").settings_for_uv(listed) == {"UV_DEFAULT_INDEX": "https://variable.example"}


def test_a_variable_of_uv_goes_before_the_settings_of_pip() -> None:
    given = {"UV_DEFAULT_INDEX": "https://uv.example", "SSL_CERT_FILE": "/etc/ca.pem"}

    assert script("install").environment("global.index-url='https://pip.example'\n", given) == given


def test_a_pin_with_extras_is_there_without_them_as_well() -> None:
    lock = (
        "redis[hiredis]==8.1.0 ; python_version > '3' \\\n    --hash=sha256:aa \\\n    --hash=sha256:bb\n    # via x\n"
    )

    plain = script("plain_pins").with_plain_pins(lock)

    assert plain == "redis==8.1.0 ; python_version > '3' \\\n    --hash=sha256:aa \\\n    --hash=sha256:bb\n" + lock


@pytest.mark.parametrize("file", sorted(path.name for path in REQUIREMENTS.glob("*.txt")))
def test_every_pin_of_a_lock_that_has_extras_stands_there_plainly_too(file: str) -> None:
    pins = lines(file)
    plain = {(pin.name, str(pin.specifier)) for pin in pins if not pin.extras}

    assert {(pin.name, str(pin.specifier)) for pin in pins if pin.extras} <= plain
