"""Settings: how they are declared, how recipes are read, and their faults in words."""
