"""One module for each suite: PACKAGES, options, run."""
