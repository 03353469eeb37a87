"""A catalog's file for tests: small, valid as it is, and wrong where a test says so."""

from pathlib import Path

from service.domain.catalog import Catalog
from service.settings.models import read_catalog
from tests.fakes.builders import TODAY

YAML = """\
default_model: painter
sizes:
  free: { multiple_of: 16, max_edge: 3840, min_pixels: 1024 }
  classic: { choices: [1024x1024, 1536x1024] }
carries:
  all: [quality, image]
  words: []
prices:
  tokens:
    - effective: 2026-01-01
      source: a list
      read: 2026-11-20
      per_million_tokens: { text_in: 5, image_in: 8, image_out: 30, text_cached: 1.25 }
      image_in_per_reference: 2200
      grid: { low: 16, high: 96 }
    - { effective: 2027-01-01, source: a letter, read: 2026-11-20, per_image: 0.05 }
  area:
    - { effective: 2026-01-01, source: a list, read: 2026-11-20, per_megapixel: 0.03, default_steps: 28, approximate: true }
  listed:
    - effective: 2026-01-01
      source: a table
      read: 2026-11-20
      per_million_tokens: { text_in: 2, image_in: 3, image_out: 9, text_out: 10 }
      text_out_per_image: 1000
      table: { fine: { 1024x1024: 4160, 1536x1024: 6208 } }
models:
  painter:
    owned_by: us
    created: 2026-01-01
    sizes: free
    tiers: [low, high]
    formats: [png, jpeg]
    fields: [quality, image]
    aliases: [artist]
    max_references: 4
    shutdown_date: 2027-06-01
    successor: sketcher
    routes:
      - { backend: alpha, model: alpha/painter, carries: all, formats: [png, jpeg], price: tokens, max_n: 2 }
      - { backend: beta, model: beta/painter, carries: words, formats: [png], price: area, sizes: classic, size_as: aspect_ratio, references_as: image_url }
  sketcher:
    owned_by: us
    created: 2026-01-01
    sizes: classic
    tiers: [fine]
    formats: [png]
    fields: []
    routes:
      - { backend: alpha, model: alpha/sketcher, carries: words, formats: [png], price: listed }
retired:
  scribbler: { since: 2025-01-01, successor: painter }
"""  # noqa: E501 (one line is one route)


def reading(folder: Path, text: str) -> Catalog:
    file = folder / "models.yaml"
    file.write_text(text)
    return read_catalog(file, TODAY)
