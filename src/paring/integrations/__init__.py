"""What lets other libraries use ours; each room needs the library that it is named after."""
