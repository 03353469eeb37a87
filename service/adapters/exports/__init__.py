"""The ledger as files: CSV, Parquet and FOCUS.

Rule: whatever the format, a number is the one in the books and a text that a spreadsheet would run is made harmless.
Parquet is offered where the extra `export` is installed; elsewhere it is missing, with the way to get it.
"""

from collections.abc import Mapping
from importlib.util import find_spec

from service.adapters.exports.csv import CsvFormat
from service.adapters.exports.focus import FocusFormat
from service.adapters.exports.parquet import ParquetFormat
from service.adapters.optional_packages import install_hint
from service.usecases.ports.exports import ExportFormat


def missing_formats() -> Mapping[str, str]:
    """The formats that cannot be written here, with what is needed."""
    return {} if find_spec("pyarrow") else {"parquet": install_hint("export")}


def available_formats() -> Mapping[str, ExportFormat]:
    """The formats that can be written here, by name."""
    always: dict[str, ExportFormat] = {"csv": CsvFormat(), "focus": FocusFormat()}
    return always if missing_formats() else always | {"parquet": ParquetFormat()}
