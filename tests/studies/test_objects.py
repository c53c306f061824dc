"""`objects`: which clusterings so many proposals allow. Its figures are drawn by notebooks 09 and 11."""

import numpy as np
import pytest

from picie_core import discovery
from picie_core.discovery.laplacian import ProposalError
from picie_core.settings import Settings
from picie_core.studies import objects


@pytest.mark.parametrize(
    ("given", "least"),
    [
        ({"comus_neighbors": 15}, 16),
        ({"comus_neighbors": 3}, 5),  # as many components as clusters
        ({"comus_neighbors": 3, "comus_components": 10}, 11),
        ({"comus_neighbors": 15, "comus_clustering": "kmeans"}, 4),
    ],
)
def test_so_many_proposals_are_enough_and_one_less_is_not(given, least):
    s = Settings(method="pseudomasks", dataset="closeups", num_clusters=4, **given)
    features = np.random.default_rng(1).normal(size=(least, 6))
    of_graph = {"method": s.comus_clustering, "components": s.comus_components, "neighbors": s.comus_neighbors}
    assert objects.possible(s, least)
    discovery.discover(features, 4, **of_graph)
    assert not objects.possible(s, least - 1)
    with pytest.raises(ProposalError):
        discovery.discover(features[:-1], 4, **of_graph)
