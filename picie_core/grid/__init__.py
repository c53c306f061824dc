"""Grids: many runs from one file, on this machine or a cluster, restarted for nothing.

`plan` reads and checks the file, `job` is one run as a process, `pool` and `cluster` run many, `ledger` knows what has
become of them, `command` is `picie grid`.
"""
