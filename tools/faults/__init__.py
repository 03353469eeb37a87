"""What callers, money and breakers see of vendors that misbehave: `make faults` writes it to docs/reliability.md.

- `hosts`: the vendors, each with one way to misbehave, on real sockets
- `rows`: the table: what every fault must come to, for a vendor alone and beside a healthy one
- `rig`: one gateway in front of all of them, and what is observed of each
- `table`: the rows as Markdown, and their place in the document
"""
