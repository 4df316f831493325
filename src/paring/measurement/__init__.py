"""`paring eval`: models on tasks and benchmarks, resumable, item by item; figures, comparison and tables from the items."""
