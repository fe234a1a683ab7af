"""One page about a run that a person can read, keep and print. Pure: nothing is read or written."""
