"""The reinforcement-learning paper in code: pure functions of tensors."""
