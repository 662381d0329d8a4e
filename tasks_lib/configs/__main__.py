"""`python -m tasks_lib.configs FOLDER` writes the JSON Schemas of the configuration files into a folder."""

import sys
from pathlib import Path

from tasks_lib.configs.schemas import schema_texts

for name, text in schema_texts().items():
    Path(sys.argv[1], name).write_text(text, "utf-8")
