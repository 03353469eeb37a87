"""The two vendors as real HTTP servers on loopback, for the suite, the benchmarks and people.

Rule: no module here imports `service`. A simulator with the gateway's code would share its mistakes. These are written
from the vendors' contract alone, and refuse each request that the vendors refuse.

- `recording`: received requests, value by value (`Recorded`, `RecordedFile`)
- `server`: the thread, the queue of answers, the faults (`Simulator`, `Answer`, `Defaults`)
- `openai`, `together`: replies of each vendor (`simulator()`, `FAULTS`)
- `images`: the images of their replies

By hand: `python -m tools.simulators openai --port 9101`, then `OPENAI_BASE_URL=http://127.0.0.1:9101/v1`.
"""
