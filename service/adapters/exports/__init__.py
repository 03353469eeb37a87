"""The ledger as files: CSV, Parquet and FOCUS.

Rule: in every format a number is the ledger's number, and a text that a spreadsheet would run is made harmless. Parquet
needs the extra `export`.

Fails with: `missing_formats` names the formats without their package, and the install of it.
"""

from collections.abc import Mapping
from importlib.util import find_spec

from service.adapters.exports.csv import CsvFormat
from service.adapters.exports.focus import FocusFormat
from service.adapters.exports.parquet import ParquetFormat
from service.adapters.optional_packages import install_hint
from service.usecases.ports.exports import ExportFormat


def missing_formats() -> Mapping[str, str]:
    """Return the formats that cannot be written here, with the install that they need."""
    return {} if find_spec("pyarrow") else {"parquet": install_hint("export")}


def available_formats() -> Mapping[str, ExportFormat]:
    """Return the formats that can be written here, by name."""
    always: dict[str, ExportFormat] = {"csv": CsvFormat(), "focus": FocusFormat()}
    return always if missing_formats() else always | {"parquet": ParquetFormat()}
