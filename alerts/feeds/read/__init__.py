"""Documents are read in processes apart, so that a hostile one costs the others nothing."""
