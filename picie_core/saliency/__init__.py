"""Where objects lie: saliency maps by a choice of means, behind one interface.

`contrast` needs no weights; `attention` (DINOSeg) and `lost` read DINO's network; `basnet` is the network COMUS used;
`ready` reads masks that somebody else made.
"""

from picie_core.network import dino
from picie_core.saliency import attention, basnet, contrast, lost, ready
from picie_core.saliency.interface import Saliency, masks, scaled
from picie_core.settings import Settings

__all__ = ["Saliency", "build", "fingerprint", "masks", "scaled"]


def build(settings: Settings) -> Saliency:
    """The saliency that `comus_saliency` names, its weights loaded, in evaluation mode, on the CPU.

    Raises:
        SettingsError: weights or masks are not there, are not what they should be, or need what is not installed.
    """
    kind = settings.comus_saliency
    if kind == "contrast":
        saliency = contrast.Contrast()
    elif kind == "basnet":
        saliency = basnet.load(settings)
    elif kind == "folder":
        saliency = ready.Ready(settings)
    else:
        saliency = {"dino": attention.Attention, "lost": lost.Lost}[kind](dino.load(settings))
    return saliency.eval().requires_grad_(False)


def fingerprint(settings: Settings) -> str:
    """What, beside the settings, the masks of a run depend on.

    contrast: nothing, "". basnet, dino, lost: SHA-256 of the weights' file; of DINO fetched by timm, the model's name.
    folder: a digest of the masks' names and contents. Files that have not changed (by size and time) are not read
    again.

    Raises:
        SettingsError: a file or folder is not there.
    """
    kind = settings.comus_saliency
    if kind == "contrast":
        return ""
    if kind == "basnet":
        return basnet.fingerprint(settings)
    return ready.fingerprint(settings) if kind == "folder" else dino.fingerprint(settings)
