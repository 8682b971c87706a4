"""Augmentation study (arXiv 2402.04081) as one resumable command."""
