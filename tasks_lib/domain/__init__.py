"""Floor 1: what a task, a plan, an attempt and a run are, and what follows from them. Pure."""
