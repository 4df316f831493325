"""`paring launch`: files by which a cluster's own tools start a run."""
