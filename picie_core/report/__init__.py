"""The report: every generated table and figure on one page, and the runs behind each number."""
