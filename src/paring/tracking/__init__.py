"""Trackers: the record of a run, sent to a library that draws it, beside the run and never in its way."""
