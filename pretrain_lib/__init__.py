"""Pre-training from first principles: sources of samples, objectives, models, and one loop."""

from .data.augment import Augmented
from .data.images import ImageDataset, labelled_subset, load_images
from .data.keys import Keys
from .data.source import Columns
from .models.autoencoder import (
    Autoencoder,
    AutoencoderConfig,
    ConvAutoencoder,
    ConvAutoencoderConfig,
    LinearAutoencoder,
    MaskedAutoencoder,
    MaskedAutoencoderConfig,
)
from .models.init import initialise
from .models.saving import load_pretrained, save_pretrained
from .objectives.base import Batch, Objective
from .objectives.classification import Classification
from .objectives.masked_image import MaskedImage
from .objectives.reconstruction import Denoising, Reconstruction
from .training.config import TrainConfig
from .training.trainer import Trainer
from .transfer.few_labels import few_label_curve
from .transfer.fine_tune import FineTuning, fine_tune
from .transfer.probe import LinearProbe

__version__ = "0.1.0"

__all__ = [
    "Augmented",
    "Autoencoder",
    "AutoencoderConfig",
    "Batch",
    "Classification",
    "Columns",
    "ConvAutoencoder",
    "ConvAutoencoderConfig",
    "Denoising",
    "few_label_curve",
    "fine_tune",
    "FineTuning",
    "ImageDataset",
    "initialise",
    "Keys",
    "labelled_subset",
    "LinearAutoencoder",
    "LinearProbe",
    "load_images",
    "load_pretrained",
    "MaskedAutoencoder",
    "MaskedAutoencoderConfig",
    "MaskedImage",
    "Objective",
    "Reconstruction",
    "save_pretrained",
    "TrainConfig",
    "Trainer",
]
