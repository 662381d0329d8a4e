"""A hosted task that is none of the real ones: a protocol and what it speaks to, for tests of the plumbing.

Runs are begun by POST /runs, looked for by GET /runs?identity=…, and looked at by GET /runs/ID.
"""
