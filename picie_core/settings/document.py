"""YAML as a person writes it: a key that is given twice is refused, where YAML's own loader takes the last, unsaid."""

from typing import Any

import yaml

MERGE = "tag:yaml.org,2002:merge"
"""The key `<<`, which a mapping may have more than once."""


class _Loader(yaml.SafeLoader):
    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        first: dict[tuple[str, str], yaml.Node] = {}
        keys = [key for key, _ in node.value if key.tag != MERGE]
        for key in keys:
            if (other := first.setdefault((key.tag, str(key.value)), key)) is not key:
                lines = (
                    f"line {key.start_mark.line + 1} repeats the key {key.value!r} of line {other.start_mark.line + 1}"
                )
                raise yaml.YAMLError(f"{lines}: give each key of a mapping once")
        return node


def load(text: str | bytes) -> Any:
    """What a YAML document says, in plain values, as `yaml.safe_load`.

    Args:
        text: bytes are in UTF-8.

    Raises:
        yaml.YAMLError: it is not YAML, or a mapping has a key twice.
    """
    loader = _Loader(text)
    try:
        return loader.get_single_data()
    finally:
        loader.dispose()
