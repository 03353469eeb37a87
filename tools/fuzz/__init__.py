"""Parsers under fuzz: a target for each, run by the suite on a kept corpus and by `make fuzz` as long as is wanted."""
