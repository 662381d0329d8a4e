"""rowmill: one LLM task for every row, within every limit, and an exact ledger in SQL."""
