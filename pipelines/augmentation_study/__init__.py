"""The augmentation study (arXiv 2402.04081) as one command that can be stopped and resumed."""
