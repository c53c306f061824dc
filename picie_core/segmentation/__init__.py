"""Segments of anybody's photographs, with a trained run's clusters: maps, overlays, and a page to look at."""
