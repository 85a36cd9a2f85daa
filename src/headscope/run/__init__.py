"""One run: its folder, its parts, its execution, and the callbacks that every run needs."""
