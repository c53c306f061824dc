from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def prepared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every test prepares into a folder of its own."""
    folder = tmp_path / "prepared"
    monkeypatch.setenv("PICIE_PREPARED", str(folder))
    return folder
