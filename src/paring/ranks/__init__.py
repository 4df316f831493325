"""Where the ranks of a run went: read from its folder, as tables, as data and as figures."""
