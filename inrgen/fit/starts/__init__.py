"""Learned starts: initial weights and step sizes from which a few gradient steps fit a signal."""
