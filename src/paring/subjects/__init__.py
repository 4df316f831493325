"""Subjects: a run, a model or an adapter, opened to be measured or exported."""
