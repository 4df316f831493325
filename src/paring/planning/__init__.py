"""How much memory a run will take, part by part, from the model's configuration alone."""
