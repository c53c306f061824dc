"""Grids: many runs from one file, on this machine or a cluster, restarted for nothing.

`plan` and `seeds` read and check the file, `job` is one run as a process, `pool` and `cluster` run many, `ledger` knows
what has become of them, `display` shows it as they run, `command` is `picie grid`.
"""
