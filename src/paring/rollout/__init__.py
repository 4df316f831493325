"""Sampling answers: the engine protocol and the engine that runs here."""
