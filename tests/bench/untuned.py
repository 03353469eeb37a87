"""The gateway as its command line starts it, but with glibc as it is: `python -m tests.bench.untuned serve ...`."""

import service.server

if __name__ == "__main__":
    service.server.keep_memory = lambda: None
    from service.__main__ import main

    main()
