"""The methods that a run can name, and what sets some of them apart."""

METHODS = (
    "picie",
    "deepcluster",
    "iic",
    "supervised",
    "probe",
    "retraining",
    "pseudomasks",
    "comus",
    "untrained",
    "random",
    "rgb",
    "position",
)
"""Every method; `methods.METHODS` holds their classes (a test keeps the two in step)."""

BACKBONES = ("resnet18", "resnet34", "resnet50", "efficientnet_lite0")
"""Every backbone but timm's, which are called `timm/NAME`."""

WITHOUT_EPOCHS = ("pseudomasks", "untrained", "random", "rgb", "position")
"""Those that learn nothing before the final clustering, or whatever else they end with (`Method.learns`)."""

TAUGHT = ("supervised", "probe", "retraining")
"""Those that learn from labels, and whose cluster k is class k."""

OBJECTS = ("pseudomasks", "comus")
"""Those that give objects one of K clusters and everything else cluster 0, the background. K is by default the number
of things of the data set."""

PROBED = ("untrained", "deepcluster", "iic", "picie")
"""Those whose network a probe or a re-training takes (`pretext`)."""

STUDENT = (
    "comus_filtered",
    "comus_network",
    "comus_backbone_place",
    "comus_epochs",
    "comus_later_epochs",
    "comus_later_split",
    "comus_learning_rate",
    "crop_min_side",
    "devices",
    "sync_batchnorm",
)
"""Settings of self-training, which the pseudo-masks that it starts from do not have."""
