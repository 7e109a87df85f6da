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

__all__ = [name for name in dir() if name[0] != "_" and name not in
           ("data", "models", "objectives", "training", "transfer", "evaluation")]
