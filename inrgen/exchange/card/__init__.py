"""Data cards: README.md for people and croissant.json for machines, from a store's own facts."""
