"""Several processes that make a batch's calls, where one core is not enough for them.

fleet    in the batch's own process: hands out plans, commits what comes back, and counts it
worker   in each of the others: an engine of its own, behind gates that all of them share
lease    the money that a worker may spend before it asks for more
frames   what they tell each other

Rows, ledger, books and money stay where they are without workers. A row holds its place in its worker until
the batch's own process has committed it, so that a kill costs no more calls than may be in flight.
"""
