"""Our server of Parallel's Task API, judged by Parallel's own SDK."""
