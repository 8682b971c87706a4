"""Make, store and serve data sets of implicit neural representations."""
