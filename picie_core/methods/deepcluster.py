"""Modified DeepCluster (the paper's baseline): cluster the pixels of one view, learn the labels with a linear layer."""

from collections.abc import Iterator, Mapping

from torch import Tensor

from picie_core import losses, network
from picie_core.clustering import scores
from picie_core.methods.alternating import Alternating
from picie_core.methods.method import Batch
from picie_core.settings import Settings


class DeepCluster(Alternating):
    """An epoch: k-means on view 1's features, a pseudo-label for each pixel, one pass of training.

    loss = CE(W z1 + b, y1), weighted by `balance`. W and b are new each epoch, N(0, 0.01) and 0, with an Adam of their
    own, and see unit features (as the release). With `classifier = "prototype"` the logits are those of the frozen
    centroids: the release's option, Table 5, row 2.

    With `training_clusters` it over-clusters (supplement: 100, 250, 1000, 2500). It is then scored twice: `final`, a
    fresh k-means with `num_clusters`, and `majority`, its own classifier's clusters, each of which takes the class that
    most of its pixels have. (The release cannot score more clusters than classes.)

    Without, its own classifier (`linear`: Table 1's row, and the release's score of each epoch; or `view1`) stands
    beside `final` (the release's "[NEW]"). In the result both see the batch norm statistics that the final clustering
    has moved; the classifier's score before it is the last epoch's in `progress.csv`.
    """

    def __init__(self, settings: Settings, num_images: int) -> None:
        super().__init__(settings, num_images, (1,), (settings.learned_clusters,))
        linear = settings.classifier == "parametric"
        self.own = "majority" if settings.training_clusters else "linear" if linear else "view1"
        if linear:  # a module of the method, for it predicts after the last epoch
            head = network.classifier(self.network.channels, self.sizes[0])
            self.head = network.draw_classifier(head, (settings.seed, "head", 0, 1))
            self.heads = {1: self.head}

    def shares(self, epoch: int, batch: Batch) -> Iterator[dict[str, Tensor]]:
        """The one term of the loss on a batch, `within_k` (view 1's own labels)."""
        k = self.sizes[0]
        logits = self.classify(self.view(1, epoch, batch), 1, k)
        yield {f"within_{k}": losses.clustering_loss(logits, self.targets(1, k, batch), self.weights[1, k])}

    def total(self, terms: Mapping[str, Tensor]) -> Tensor:
        """The loss to descend: its one term."""
        return terms[f"within_{self.sizes[0]}"]

    def logits(self, images: Tensor) -> Mapping[str, Tensor]:
        """Scores under the epoch's classifier, and beside them under the fresh prototypes at the end."""
        features = self.embedding(images)
        found = {self.own: self.classify(features, 1, self.sizes[0])}
        if self.final_prototypes is None:
            return found
        return {"final": scores(features, self.final_prototypes, self.settings.logit_rule)} | found
