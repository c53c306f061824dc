"""Questions put to finished runs, a module each: what notebooks 06 to 09 and 11 ask."""
