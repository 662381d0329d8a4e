"""`python -m tests.webagentserver`: serves until its input ends, after one line of JSON that says where."""

import sys

from tests.rightbrainserver.serving import main
from tests.webagentserver.service import Service
from tests.webagentserver.settings import DEFAULTS

sys.exit(
    main(
        "tests.webagentserver",
        "Webagent's task runs on loopback, with faults and an exact count for each marker.",
        sys.argv[1:],
        begin=DEFAULTS,
        service=Service,
    )
)
