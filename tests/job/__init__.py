"""Tests of the room that puts the parts together."""
