"""Our methods for other libraries; each room needs the library that it is named after."""
