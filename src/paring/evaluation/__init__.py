"""`paring eval`: models on tasks and benchmarks, item by item; figures, comparison and tables from the items."""
