"""Values of settings that are allowed one by one and do not go together."""

from typing import Any

from picie_core.settings.methods import OBJECTS, PROBED


def problems(s: Any) -> list[str]:
    """What is wrong with a `Settings`, each problem a message that says what to give instead; none: an empty list."""
    found = []
    if s.base_size < s.image_size:
        found.append(
            f"base_size = {s.base_size} is smaller than image_size = {s.image_size}: a crop of it would only "
            "be an enlargement; give base_size >= image_size"
        )
    if 0 < s.num_overclusters <= s.learned_clusters:
        learned = "training_clusters" if s.training_clusters else "num_clusters"
        found.append(
            f"num_overclusters = {s.num_overclusters}: overclustering needs more than {learned} = {s.learned_clusters} "
            "(or 0 for none)"
        )
    if 0 < s.training_clusters <= s.num_clusters:
        found.append(f"training_clusters = {s.training_clusters}: give more than num_clusters = {s.num_clusters}, or 0")
    if s.classifier == "parametric" and s.num_overclusters:
        found.append("classifier = 'parametric' has no overclustering: give num_overclusters = 0")
    if s.sobel and s.pretrained:
        found.append(
            "sobel = True: trained weights take 3 channels and not 5; give sobel = False, or pretrained = False"
        )
    trained = s.method if s.pretext == "none" else s.pretext
    resnet = s.backbone.startswith("resnet")
    shallow = s.trunk.startswith("res12")
    if shallow and trained != "iic":
        found.append(f"trunk = {s.trunk!r} is for method = 'iic'; {trained!r} needs trunk = 'fpn' or 'last'")
    if shallow and not resnet:
        found.append(f"trunk = {s.trunk!r} is a part of a ResNet; backbone = {s.backbone!r} needs 'fpn' or 'last'")
    if s.padding != "zeros" and not resnet:
        found.append(f"padding = {s.padding!r} is for ResNets; backbone = {s.backbone!r} needs 'zeros'")
    if s.frozen and s.trunk == "last" and s.method in ("picie", "deepcluster"):
        found.append(
            "frozen = True, trunk = 'last': nothing is left to learn; give trunk = 'fpn', or method = 'untrained', "
            "which clusters these features"
        )
    probed = f"{', '.join(PROBED[:-1])} or {PROBED[-1]}"
    if (s.method in ("probe", "retraining", *OBJECTS)) != (s.pretext != "none"):
        found.append(
            f"pretext = {s.pretext!r}: method = {s.method!r} "
            + (f"needs one: {probed}" if s.pretext == "none" else "has none; give 'none'")
        )
    if s.pretext not in ("none", *PROBED) and s.method in ("probe", "retraining"):
        found.append(
            f"pretext = {s.pretext!r} is for {' and '.join(OBJECTS)}; {s.method} takes the network of {probed}"
        )
    if s.method == "comus" and s.num_clusters > 254:
        found.append(f"num_clusters = {s.num_clusters}: what comus learns is an 8-bit mask; give at most 254")
    if s.comus_later_split == "trainaug" and s.dataset != "voc21":
        found.append(f"comus_later_split = 'trainaug' is a split of voc21; {s.dataset} has 'train'")
    found += _of_devices(s)
    side = s.iic_loss_size or s.image_size // 4
    if trained == "iic" and s.iic_displacement >= side:
        found.append(
            f"iic_displacement = {s.iic_displacement}: on a grid of {side} x {side} cells pairs can be at most "
            f"{side - 1} apart; give less, or a larger image_size or iic_loss_size"
        )
    return found


def unread(s: Any) -> list[str]:
    """What is given and nothing of a run reads, each with what would; no error, for a grid gives it to all of its rows.
    Of runs that start from each other the one that would read it says so."""
    found = []
    resnet = s.backbone.startswith("resnet")
    if not (resnet or s.pretrained) and s.sources["pretrained"] != "explicit":
        found.append(
            f"{s.backbone} starts from random weights: pretrained = False (from {s.sources['pretrained']}); give "
            "pretrained = True for trained ones"
        )
    if s.method == "comus" and s.comus_network == "deeplabv3" and (s.frozen or not resnet):
        found.append(
            f"backbone = {s.backbone!r}, frozen = {s.frozen}: comus_network = 'deeplabv3' has a network of its own and "
            "learns all of it; 'fpn' would read them"
        )
    if s.weights_file and not s.pretrained:
        found.append("weights_file is not read: pretrained = False starts from random weights")
    masks = s.method == "pseudomasks"
    if masks and s.comus_saliency_place and s.comus_saliency not in ("basnet", "folder"):
        found.append(
            f"comus_saliency_place is not read: comus_saliency = {s.comus_saliency!r} needs none, basnet and folder do"
        )
    if masks and s.comus_dino_place and "dino" not in (s.pretext, s.comus_saliency) and s.comus_saliency != "lost":
        found.append("comus_dino_place is not read: pretext = 'dino' would, or comus_saliency = 'dino' or 'lost'")
    first = s.method == "comus" and s.comus_iterations == 1
    if first and s.comus_backbone_place and s.comus_network != "deeplabv3":
        found.append(f"comus_backbone_place is not read: comus_network = {s.comus_network!r}; 'deeplabv3' would")
    return found


def _of_devices(s: Any) -> list[str]:
    found = []
    for name in ("batch_size", "kmeans_batch_size"):
        if s.devices > 1 and (size := getattr(s, name)) < s.devices:
            found.append(f"devices = {s.devices}: {name} = {size} leaves some without an image; give a larger one")
    if s.devices > 1 and ":" in s.device:
        found.append(f"device = {s.device!r} is one device, and devices = {s.devices}: give device = 'cuda'")
    if s.devices > 1 and s.method == "pseudomasks":
        found.append(f"devices = {s.devices}: pseudomasks clusters all proposals in one process; give devices = 1")
    if s.sync_batchnorm and s.device == "cpu":
        found.append(
            "sync_batchnorm = True: torch synchronises batch norm on GPUs alone; give False, or device = 'cuda'"
        )
    return found
