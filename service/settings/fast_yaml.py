"""Reading of plain YAML documents with the parser in C, which is faster than the strict reader.

Rule: this reader accepts plain documents only, which both readers read alike. Its result for wrong documents, for rare
syntax and for differences between YAML 1.1 and 1.2 is `NOT_PLAIN`. `read_yaml` then uses the strict reader. Only the
strict reader refuses a document, so messages do not depend on this module.

Fails with: nothing.
"""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any, Final

import yaml  # type: ignore[import-untyped]
from ruamel.yaml.resolver import implicit_resolvers
from yaml import events

NOT_PLAIN: Final = object()
"""Result for a document that the strict reader has to read."""

MAX_DEPTH: Final = 40
MERGE: Final = "<<"
UNUSUAL_CHARACTERS = re.compile(r"[^\n\x20-\x5b\x5d-\x7e\xa0-\u2027\u202a-\ud7ff]")
"""Backslashes, tabs, control characters, line breaks of YAML 1.1 alone, and characters beyond the usual scripts."""

INT = re.compile(r"-?(?:0|[1-9][0-9]{0,17})")
FLOAT = re.compile(r"-?(?:0|[1-9][0-9]{0,8})\.[0-9]{1,9}")
DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
PLAIN_WORDS: Mapping[str, object] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}


def _strict_resolvers() -> Mapping[str, Sequence[Any]]:
    """Return the strict reader's patterns of words that are no text, by their first character."""
    by_first_character = defaultdict[str, list[Any]](list)
    for versions, _, pattern, first_characters in implicit_resolvers:
        for first in first_characters if (1, 2) in versions else ():
            by_first_character[first].append(pattern)
    return by_first_character


RESOLVERS = _strict_resolvers()


class _NotPlain(Exception):
    """Content that only the strict reader reads."""


def read_plain(text: str) -> object:
    """Return the value of a document, or `NOT_PLAIN`."""
    if UNUSUAL_CHARACTERS.search(text) or not yaml.__with_libyaml__:
        return NOT_PLAIN
    try:
        return _Document(text).value()
    except (_NotPlain, yaml.YAMLError):
        return NOT_PLAIN


class _Document:
    """Document that is read event by event.

    `_known` caches the values of unquoted words; `_named` has the complete values of anchors.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self._next = yaml.cyaml.CParser(text).get_event
        self._known: dict[str, object] = {}
        self._named: dict[str, object] = {}

    def value(self) -> object:
        """Return the value. Raises `_NotPlain`."""
        self._next()
        begin = self._next()
        if type(begin) is not events.DocumentStartEvent or begin.version or begin.tags:
            raise _NotPlain
        document = self._node(self._next(), 0)
        if self._next().explicit or type(self._next()) is not events.StreamEndEvent:
            raise _NotPlain
        return document

    def _node(self, event: Any, depth: int) -> object:  # noqa: ANN401 (one of several types of events)
        kind = type(event)
        if event.anchor is not None and not self._alias_ends(event):
            raise _NotPlain
        if kind is events.AliasEvent and event.anchor in self._named:
            return self._named[event.anchor]
        if kind is events.AliasEvent or depth > MAX_DEPTH or event.tag is not None:
            raise _NotPlain
        if kind is events.ScalarEvent:
            node = self._scalar(event)
        else:
            node = self._mapping(depth + 1) if kind is events.MappingStartEvent else self._sequence(depth + 1)
        if event.anchor is not None:
            if event.anchor in self._named:
                raise _NotPlain
            self._named[event.anchor] = node
        return node

    def _alias_ends(self, event: Any) -> bool:  # noqa: ANN401 (see `_node`)
        """Return whether both readers see the same end of the name of an anchor or an alias."""
        end = event.start_mark.index + 1 + len(event.anchor)
        return self._text[end : end + 1] in {" ", "\n"}

    def _mapping(self, depth: int) -> dict[object, object]:
        mapping, merged = dict[object, object](), None
        while type(event := self._next()) is not events.MappingEndEvent:
            if type(event) is not events.ScalarEvent or event.anchor is not None or event.tag is not None:
                raise _NotPlain
            if event.value == MERGE and not event.style:
                merged = self._merged_mapping(merged)
                continue
            name = self._node(event, depth)
            if name in mapping:
                raise _NotPlain
            mapping[name] = self._node(self._next(), depth)
        return mapping if merged is None else {**merged, **mapping}

    def _merged_mapping(self, before: object) -> dict[object, object]:
        """Return the mapping that another one merges in, which must be a single alias."""
        event = self._next()
        mapping = self._node(event, 0) if type(event) is events.AliasEvent and before is None else None
        if not isinstance(mapping, dict):
            raise _NotPlain
        return mapping

    def _sequence(self, depth: int) -> list[object]:
        items = list[object]()
        while type(event := self._next()) is not events.SequenceEndEvent:
            items.append(self._node(event, depth))
        return items

    def _scalar(self, event: Any) -> object:  # noqa: ANN401 (see `_node`)
        value: str = event.value
        if event.start_mark.line != event.end_mark.line:
            raise _NotPlain
        if event.style in {"'", '"'}:
            return value
        if event.style:
            raise _NotPlain
        if value not in self._known:
            self._known[value] = _resolve_word(value)
        return self._known[value]


def _resolve_word(word: str) -> object:
    """Return the value of an unquoted word. Raises `_NotPlain`."""
    if word in PLAIN_WORDS:
        return PLAIN_WORDS[word]
    if not any(pattern.match(word) for pattern in RESOLVERS.get(word[0], ())):
        return word
    if INT.fullmatch(word):
        return int(word)
    if FLOAT.fullmatch(word):
        return float(word)
    if DATE.fullmatch(word):
        try:
            return date.fromisoformat(word)
        except ValueError:
            raise _NotPlain from None
    raise _NotPlain
