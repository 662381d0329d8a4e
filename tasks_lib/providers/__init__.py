"""Floor 2: wire protocols as generators that do no I/O: they yield requests and are sent responses."""
