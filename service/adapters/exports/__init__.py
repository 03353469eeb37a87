"""The ledger as files: CSV, Parquet and FOCUS.

Rule: whatever the format, a number is the one in the books and a text that a spreadsheet would run is made harmless.
Parquet is offered where the extra `export` is installed.
"""

from collections.abc import Mapping
from importlib.util import find_spec

from service.adapters.exports.csv import CsvFormat
from service.adapters.exports.focus import FocusFormat
from service.adapters.exports.parquet import ParquetFormat
from service.usecases.export_usage import Format


def formats() -> Mapping[str, Format]:
    """The formats that can be written here, by name."""
    always: dict[str, Format] = {"csv": CsvFormat(), "focus": FocusFormat()}
    return always | ({"parquet": ParquetFormat()} if find_spec("pyarrow") else {})
