"""The two vendors as real HTTP servers on loopback, for the suite, the benchmarks and people.

Rule: nothing here imports `service`. A simulator that shared the gateway's code would share its mistakes; these are
written from the vendors' contract alone, and refuse what the vendors refuse.

- `recording`: what arrived, value by value (`Recorded`, `RecordedFile`)
- `server`: the thread, the queue of answers, the faults (`Simulator`, `Answer`, `Defaults`)
- `openai`, `together`: what each vendor would say (`simulator()`, `FAULTS`)
- `pictures`: the pictures that they reply with

By hand: `python -m tools.simulators openai --port 9101`, then `OPENAI_BASE_URL=http://127.0.0.1:9101/v1`.
"""
