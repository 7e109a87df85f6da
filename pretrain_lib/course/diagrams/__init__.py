"""Schematics of what a figure of numbers cannot show; each function draws one, to be given to `plots.show`."""

from .images import convolution_and_patches, feature_pyramid, teacher_by_average, two_views, vit_masked_autoencoder
from .models import autoencoder, blocks, distillation, heads, lora, masked_autoencoder, transfer
from .speech import connectionist_paths, contrastive_prediction, from_wave_to_coefficients, hidden_units, two_kinds_of_others
from .text import bert_losses, masked_language_model, packing, tokenization
from .training import pipeline, timelines, update

ALL = (transfer, autoencoder, masked_autoencoder, tokenization, packing, blocks, heads, masked_language_model,
       bert_losses, update, timelines, pipeline, lora, distillation, convolution_and_patches, two_views, teacher_by_average, vit_masked_autoencoder,
       feature_pyramid, from_wave_to_coefficients, contrastive_prediction, two_kinds_of_others, hidden_units, connectionist_paths)
__all__ = ["ALL", *(draw.__name__ for draw in ALL)]
