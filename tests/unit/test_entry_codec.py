"""Entries on their way to the books, written by one version of the gateway and read by another."""

import msgspec
import pytest

from service.adapters.redis.quota_store import decode_entry, encode_entry
from service.domain.ledger import CacheStatus, Entry
from tests.fakes.builders import entry

WRITTEN_BY_852BA53 = (
    b'{"hold_id":"hold-1","request_id":"req_1","team":"search","key":"search-1","operation":"generate",'
    b'"model":"painter","backend":"alpha","upstream_model":"alpha/painter","price_version":"cent@2026-01-01",'
    b'"output_format":"png","n":1,"cost":10000000,"basis":"table","status":"delivered","tier":null,'
    b'"resolved_tier":null,"size":null,"text_in":0,"image_in":0,"text_cached":0,"image_cached":0,"text_out":0,'
    b'"image_out":0,"saved":0,"cache":"bypass","tags":{},"held_at":1795262400000000,"posted_at":1795262405000000}'
)


def read(written: bytes) -> Entry:
    plain = entry()
    times = [b"held_at", b"%d" % plain.held_at, b"posted_at", b"%d" % plain.posted_at]
    return decode_entry(b"1-1", [b"entry", written, *times]).entry


@pytest.mark.parametrize("source", CacheStatus)
def test_an_entry_is_read_as_it_was_written(source: CacheStatus) -> None:
    assert read(encode_entry(entry(cache=source.value))) == entry(cache=source.value)


def test_a_purchase_of_an_older_gateway_has_an_unknown_source() -> None:
    assert read(WRITTEN_BY_852BA53) == entry(cache="unknown")


@pytest.mark.parametrize("source", ["hit", "joined", "replayed"])
def test_what_an_older_gateway_served_without_buying_is_told_as_it_was(source: str) -> None:
    older = WRITTEN_BY_852BA53.replace(b"bypass", source.encode())
    assert read(older) == entry(cache=source)


@pytest.mark.parametrize("source", CacheStatus)
def test_an_older_gateway_reads_what_a_newer_one_wrote(source: CacheStatus) -> None:
    """An older decoder ignores the fields that it does not know, as a plain decoder does."""
    assert msgspec.json.decode(encode_entry(entry(cache=source.value)), type=Entry) == entry(cache=source.value)


def test_the_fields_have_the_names_of_older_gateways() -> None:
    """A gateway of 852ba53 passes over a field under another name, and takes its default."""
    assert msgspec.json.decode(WRITTEN_BY_852BA53).keys() <= msgspec.json.decode(encode_entry(entry())).keys()
