"""Several processes that make a batch's calls, where one core is not enough for them.

fleet        in the batch's own process: who is there, and which rows each is given
intake       there, too: what workers hand in, on its way to the books and the ledger
left_behind  there, too: what one that is gone did not live to tell, and what it may have died of
crew_of_all  there, too: all of them together, for whoever looks at a batch and steers it
worker       in each of the others: an engine of its own, behind gates that all of them share
frames       what they tell each other

Rows, ledger, books and money stay where they are without workers. A row holds its place in its worker until
it is durable, so that a kill costs no more calls than may be in flight.
"""
