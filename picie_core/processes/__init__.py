"""More than one process: the ranks of a run, the lock on a folder, and the tie of a child to its parent."""
