"""Timings of inrgen beside contenders, and the check of a GPU machine; README.md has the tables."""
