"""The engine, told as stories in virtual time."""
