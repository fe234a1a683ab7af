"""Jobs: the store that remembers them, the queue, and the process that does the work."""
