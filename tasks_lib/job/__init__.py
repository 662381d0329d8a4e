"""Floor 4: puts the parts together: check, run, resume, export."""
