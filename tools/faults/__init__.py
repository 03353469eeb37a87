"""Vendors that misbehave, and the answers, costs and breakers that follow. `make faults` writes docs/reliability.md.

- `hosts`: the vendors, each with one fault, on real sockets
- `rows`: the table: expected outcome of every fault, for a vendor alone and beside a healthy one
- `rig`: one gateway in front of all vendors, and the observed outcomes
- `table`: the rows as Markdown, and their place in the document
"""
