"""Five peers and two floors beside rowmill, against one server, in one run: `python -m bench peers`."""
