"""Modules by name: a whole path, its last components, or a pattern."""

from fnmatch import fnmatchcase


def matches(path: str, name: str) -> bool:
    """PEFT's rule for a list of targets: the whole path, or its last components; `*` stands for any text."""
    if "*" not in name:
        return path == name or path.endswith(f".{name}")
    return fnmatchcase(path, name) or fnmatchcase(path, f"*.{name}")
