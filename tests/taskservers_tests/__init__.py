"""The servers that pretend to be hosted task runs are tested themselves, with plain HTTP."""
