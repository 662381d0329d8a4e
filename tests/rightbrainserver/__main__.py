"""`python -m tests.rightbrainserver`: serves until its input ends, after one line of JSON that says where."""

import sys

from tests.rightbrainserver.service import Service
from tests.rightbrainserver.serving import main
from tests.rightbrainserver.settings import DEFAULTS

sys.exit(
    main(
        "tests.rightbrainserver",
        "Rightbrain's task runs on loopback, with faults and an exact count for each reference.",
        sys.argv[1:],
        begin=DEFAULTS,
        service=Service,
    )
)
