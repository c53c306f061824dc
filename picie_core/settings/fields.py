"""Every knob of a run as a field of `Fields`, which `settings.Settings` validates and completes.

The meaning of each says what it is, its unit, and where paper and release differ (numbers in brackets count the points
of disagreement listed in `data/README.md`).
"""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel

from picie_core.settings import recipes
from picie_core.settings.knobs import knob
from picie_core.settings.methods import METHODS


class Fields(BaseModel):
    """The knobs of a run, each with its default and its bounds."""

    # what is run
    method: str = knob("picie", "which method: " + ", ".join(METHODS))
    recipe: Literal["paper", "release", "ours"] = knob("ours", "who decides where paper and release differ", place=True)
    scale: Literal["small", "full"] = knob("small", "sizes, epochs and counts: a laptop's or the paper's", place=True)
    seed: int = knob(1, "every draw of the run derives from it", ge=0, lt=2**31)

    # data
    dataset: str = knob("scenes", "which data set: " + ", ".join(recipes.DATASETS), place=True)
    data_root: Path | None = knob(None, "the data set's folder (scenes need none)", place=True)
    image_size: int = knob(128, "side of the network's input in pixels; coarsest stride: 32", ge=32, multiple_of=32)
    base_size: int = knob(
        128, "side in pixels at which training images are stored and cropped from; release: 2 x image_size [3]", ge=32
    )
    train_images: int | None = knob(
        None, "at most so many training images, spread over the split (scenes: the first); none: all", ge=2, place=True
    )
    val_images: int | None = knob(None, "at most so many validation images, likewise; none: all", ge=1, place=True)
    train_split: str = knob("train", "the split that is learned from, of those that the data set has", before="train")
    scored_split: str = knob(
        "val", "the split whose labels the score looks at; development is done on train", before="val"
    )
    on_bad_image: Literal["error", "skip"] = knob(
        "error", "stop at an image that cannot be used, or leave it out", place=True
    )

    # views
    photometric: bool = knob(True, "photometric transforms P (invariance, section 3.3.1)")
    brightness: float = knob(0.3, "jitter factor from U(1-b, 1+b); paper and release 0.3", ge=0, le=1)
    contrast: float = knob(0.3, "jitter factor from U(1-c, 1+c); paper and release 0.3", ge=0, le=1)
    saturation: float = knob(0.3, "jitter factor from U(1-s, 1+s); paper and release 0.3", ge=0, le=1)
    hue: float = knob(
        0.1, "hue shift from U(-h, h), in turns of the colour circle; paper and release 0.1", ge=0, le=0.5
    )
    jitter_probability: float = knob(0.8, "chance of each of the four jitters, independently", ge=0, le=1)
    grayscale_probability: float = knob(0.2, "chance of greyscale; release: its flag never acts, so 0 [5]", ge=0, le=1)
    blur_probability: float = knob(0.5, "chance of a Gaussian blur", ge=0, le=1)
    blur_rule: Literal["independent", "tied"] = knob(
        "independent", "sigma in pixels of the base image: U(0.1, 2); release: |3.8 u - 1.8| of the gate's own u [5]"
    )
    geometric: bool = knob(True, "geometric transform G: random crop and flip (equivariance, section 3.3.2)")
    crop_min_side: float = knob(0.5, "side of the crop from U(this, 1) of the image's", gt=0, le=1)
    flip_probability: float = knob(0.5, "chance of a horizontal flip", ge=0, le=1)
    crop_rounding: Literal["exact", "grid"] = knob(
        "exact", "crop boxes exact, or rounded on the image's and the feature map's grid apart as released [15]"
    )

    # network
    backbone: str = knob(
        "resnet18",
        "torchvision's resnet18 (paper), resnet34 or resnet50; efficientnet_lite0, whose weights are installed; or any "
        "of timm's with intermediate features, as timm/vit_small_patch8_224.dino",
    )
    frozen: bool = knob(False, "the backbone stays as it starts; what lies behind it alone is trained", before=False)
    fpn: Literal["direct", "cascade"] = knob(
        "direct", "feature pyramid: each level straight to 1/4 and summed (supplement), or top-down (release) [12]"
    )
    padding: Literal["zeros", "replicate"] = knob(
        "zeros",
        "what the backbone's convolutions see beyond the edge: zeros, which tell where in the image a pixel lies "
        "(torchvision, paper, release), or the edge's pixels continued",
        before="zeros",
    )
    feature_dim: int = knob(128, "channels of the feature map", ge=1, le=4096)
    trunk: Literal["fpn", "last", "res12", "res12_layer2"] = knob(
        "fpn",
        "backbone and pyramid; the last level of the backbone as it is; or (iic) a ResNet's stem and layer1 alone, or "
        "with layer2: IIC-res12",
        before="fpn",
    )
    sobel: bool = knob(
        False, "image gradients dx, dy as inputs beside RGB, as presumably Table 4's baselines had", before=False
    )
    pretrained: bool = knob(True, "start from the backbone's trained weights (torchvision's and Lite0's: ImageNet's)")
    weights_file: Path | None = knob(
        None,
        "read the backbone's weights from this file, not the network; images are normalised as for the weights that "
        "backbone names, so name those",
        place=True,
    )

    # clustering
    num_clusters: int = knob(27, "K, or K1 of PiCIE+H", ge=2, le=10_000)
    num_overclusters: int = knob(0, "K2 of PiCIE+H (paper: 100); 0: no overclustering", ge=0, le=100_000)
    overcluster_weights: Literal["A", "B"] = knob(
        "B", "weight of the K1 loss: A log K1 / (log K1 + log K2), B log K2 / (log K1 + log K2) [2]"
    )
    training_clusters: int = knob(
        0,
        "clusters that picie and deepcluster (supplement: 100 to 2500) learn, more than K; 0: K, as the paper's PiCIE",
        ge=0,
        le=100_000,
        before=0,
    )
    clusterings: Literal["two", "one"] = knob("two", "cluster each view, or view 1 alone (Table 6, single cluster)")
    classifier: Literal["prototype", "parametric"] = knob(
        "prototype",
        "classify by prototypes (section 3.2) or by a linear layer, made anew each epoch (Table 5, row 1; deepcluster) "
        "or never trained (untrained)",
    )
    kmeans_batch_size: int = knob(16, "images a batch in clustering; COCO: paper 128, release 256 [3]", ge=1)
    kmeans_init_batches: int = knob(50, "batches behind the first centroids: paper 50, release 20 [3]", ge=1)
    kmeans_points: int | None = knob(
        None,
        "pixels per cluster behind the first centroids, a random sample; none: as many as kmeans_memory allows",
        ge=1,
        before=None,
    )
    kmeans_memory: int | None = knob(
        1024,
        "MB that the pixels behind the first centroids may take, all devices together; where they need more, a random "
        "sample; none: as many as needed (COCO: 16 GB)",
        ge=1,
        before=1024,
    )
    kmeans_update_batches: int = knob(20, "batches behind each later update: paper 20, release 1 [3]", ge=1)
    kmeans_iterations: int = knob(20, "iterations of the first k-means", ge=1, le=1000)
    kmeans_batchnorm: Literal["batch", "running"] = knob(
        "batch", "batch norm while clustering: batch statistics, which also move the running ones, or running ones [13]"
    )
    label_rule: Literal["euclidean", "inner", "cosine"] = knob(
        "euclidean", "a pixel's pseudo-label is its nearest prototype by this measure [14]"
    )
    logit_rule: Literal["inner", "cosine", "euclidean"] = knob(
        "cosine", "logits in training and test: <z, mu>, cosine (eq. 5), or -|z - mu|^2; release: inner [14]"
    )
    temperature: float = knob(1.0, "logits are divided by it; paper: 1", gt=0, le=100)

    # losses
    balance: Literal["inverse", "proportional", "none"] = knob(
        "inverse", "weight of a cluster in the cross-entropy: N / (K max(n_k, 1)), n_k / N (release), or 1 [4]"
    )
    mse: Literal["none", "added", "instead"] = knob(
        "none", "mean squared difference of the views: added to the loss (release) or in place of cross-view (paper)"
    )

    # invariant information clustering
    iic_lambda: float = knob(
        1.0, "weight of the marginals' entropies, which keep clusters even", ge=0, le=100, before=1.0
    )
    iic_displacement: int = knob(
        10, "T: pairs of pixels up to so many cells of the loss's grid apart each way", ge=0, le=1000, before=10
    )
    iic_collapsed: bool = knob(
        False, "one joint distribution of all displacements, or the mean of one loss for each", before=False
    )
    iic_loss_size: int | None = knob(
        None,
        "side of the maps that are compared; none: the features', image_size / 4; IIC: image_size",
        ge=1,
        before=None,
    )
    iic_auxiliary_clusters: int = knob(
        45, "clusters of the auxiliary head; 0: no such head", ge=0, le=10_000, before=45
    )
    iic_heads: Literal["alternating", "summed"] = knob(
        "alternating", "a pass an epoch for each head (IIC), or one for the sum of their losses", before="alternating"
    )
    iic_affine: bool = knob(
        False, "rotate (30 degrees), shear (10) and scale (0.8 to 1.2) the second picture of a pair", before=False
    )
    iic_mask: Literal["warp", "release"] = knob(
        "warp",
        "pixels compared: those that both pictures show; release: and that have a label, which LEAKS LABELS",
        before="warp",
    )

    # training
    epochs: int = knob(4, "clusterings followed by a pass of training", ge=0, le=10_000)
    batch_size: int = knob(16, "images a step", ge=1)
    learning_rate: float = knob(1e-3, "Adam's; paper 1e-3, release 1e-4 on COCO [3]", gt=0, le=1)
    precision: Literal["32", "bf16"] = knob(
        "32", "of the network: float32 (TF32 in a GPU's convolutions) or bfloat16 autocast"
    )
    devices: int = knob(
        1, "GPUs, or processes that share the threads of a CPU: each has a part of every batch", ge=1, before=1
    )
    sync_batchnorm: bool = knob(False, "batch norm over whole batches, not each device's part (GPUs)", before=False)
    threads: int = knob(2, "torch's and faiss's on the CPU; another count may change the last bits", ge=1, le=1024)

    # transfer: what a trained network is good for (Tables 7 and 8)
    pretext: Literal["none", "untrained", "deepcluster", "iic", "picie", "supervised", "dino", "hog"] = knob(
        "none",
        "whose network is used: that of a method, trained first in a run of its own (probe, retraining, pseudomasks), "
        "or DINO's ViT-S/8 (COMUS), or none but histograms of gradients, hog (both pseudomasks)",
        before="none",
    )
    transfer_epochs: int = knob(10, "of the probe or the re-training; paper 10", ge=1, le=10_000, before=10)
    transfer_learning_rate: float = knob(1e-3, "Adam's there; paper 1e-3", gt=0, le=1, before=1e-3)
    transfer_normalized: bool = knob(
        False, "unit features before the linear classifier (`Normalization` of Tables 7 and 8)", before=False
    )

    # objects: COMUS (pseudomasks and comus)
    comus_saliency: Literal["contrast", "dino", "lost", "basnet", "folder"] = knob(
        "contrast",
        "where an object lies: contrast with the image's edge (no weights), attention of DINO, LOST, BASNet, or masks "
        "from files; COMUS: basnet",
        before="contrast",
    )
    comus_saliency_place: Path | None = knob(
        None, "the file of BASNet's weights, or the folder of masks named as the images are", place=True
    )
    comus_dino_place: Path | None = knob(
        None, "the file of DINO's ViT-S/8 weights; none: fetched by timm, once", place=True
    )
    comus_threshold: float | None = knob(
        None,
        "pixels are salient above it, of a map scaled to [0, 1]; none: Li's, each image's own; COMUS: 0.5",
        ge=0,
        lt=1,
        before=None,
    )
    comus_scaling: Literal["image", "batch"] = knob(
        "image",
        "least and greatest saliency of the image, or of the batch it is in (COMUS), become 0 and 1",
        before="image",
    )
    comus_smallest: float = knob(
        0.002,
        "regions of a smaller share of the image are no proposals; COMUS: 400 pixels, 0.002 of a VOC image",
        ge=0,
        lt=1,
        before=0.002,
    )
    comus_crop_size: int = knob(
        256, "side in pixels that a proposal's box is resized to; COMUS: 256", ge=32, multiple_of=32, before=256
    )
    comus_clustering: Literal["spectral", "kmeans"] = knob(
        "spectral", "of the proposals' features (Table 5)", before="spectral"
    )
    comus_neighbors: int = knob(30, "of each proposal in the graph, itself among them", ge=2, le=1000, before=30)
    comus_components: int | None = knob(
        None, "eigenvectors of the spectral embedding; none: num_clusters, as COMUS", ge=1, le=1000, before=None
    )
    comus_restarts: int = knob(10, "of k-means in the embedding (`n_init`)", ge=1, le=1000, before=10)
    comus_filtered: float = knob(
        0.2,
        "share of each cluster, farthest from its centre, that is not trained on; COMUS: 0.2",
        ge=0,
        lt=1,
        before=0.2,
    )
    comus_iterations: int = knob(
        1, "self-trainings, each of a fresh network; COMUS: VOC 2, COCO 1", ge=1, le=20, before=1
    )
    comus_network: Literal["deeplabv3", "fpn"] = knob(
        "deeplabv3", "torchvision's DeepLabv3 with ResNet-50 (COMUS), or the workbook's network", before="deeplabv3"
    )
    comus_backbone_place: Path | None = knob(
        None, "the file of DINO's ResNet-50 weights for deeplabv3; none: random weights", place=True
    )
    comus_epochs: int = knob(10, "of the first self-training; COMUS: VOC 10, COCO 1", ge=1, le=10_000, before=10)
    comus_later_epochs: int = knob(5, "of each later one; COMUS: VOC 5", ge=1, le=10_000, before=5)
    comus_later_split: Literal["train", "trainaug"] = knob(
        "train", "what the later ones see; COMUS on VOC: trainaug", before="train"
    )
    comus_learning_rate: float = knob(6e-5, "Adam's in each; COMUS 6e-5", gt=0, le=1, before=6e-5)

    # places and execution
    device: str = knob(
        "auto", "auto (cuda, else cpu), cpu, cuda, cuda:1", place=True, pattern=r"^(auto|cpu|cuda(:\d+)?)$"
    )
    views_memory: int = knob(
        1024,
        "MB for an epoch's views, kept from pass to pass as far as they fit; made anew beside other images, a view may "
        "differ in the last bit of a pixel in a million",
        ge=0,
        before=1024,
    )
    workers: int | None = knob(None, "threads that decode images in prepare; none: one a core", ge=1, place=True)
    runs_root: Path | None = knob(None, "where run folders lie; none: PICIE_RUNS, else reports/runs", place=True)
    fresh: bool = knob(False, "train again even when the run exists", place=True)
    keep_checkpoint: bool = knob(False, "keep the last checkpoint of a finished run", place=True)
