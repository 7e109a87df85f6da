"""Pre-training from first principles: sources of samples, objectives, models, and one loop."""

from .compression.distill import distill
from .compression.prune import prune
from .compression.quantise import quantize
from .data.augment import Augmented
from .data.counting import TwoSidedBigram, Unigram
from .data.encoded_text import encode_labelled, encode_text_pairs
from .data.images import ImageDataset, labelled_subset, load_images
from .data.keys import Keys
from .data.labelled_text import load_labelled_text
from .data.mixture import Mixture
from .data.packing import PackedBlocks
from .data.pairs import SentencePairs
from .data.shards import prepare
from .data.source import Columns
from .data.synthetic import HiddenMarkovLanguage
from .data.tagged_text import encode_tagged, load_tagged_text
from .data.text import load_text
from .data.token_dataset import TokenDataset
from .data.tokenizer import load_tokenizer, save_tokenizer, train_tokenizer
from .data.translation import encode_pairs, load_translation
from .models.autoencoder import Autoencoder, AutoencoderConfig, LinearAutoencoder
from .models.bert import (
    BertConfig,
    BertForMaskedLM,
    BertForPreTraining,
    BertForSequenceClassification,
    BertForTokenClassification,
    BertModel,
)
from .models.convolutional import (
    ConvAutoencoder,
    ConvAutoencoderConfig,
    MaskedAutoencoder,
    MaskedAutoencoderConfig,
)
from .models.history import (
    BidirectionalLSTM,
    BidirectionalLSTMConfig,
    NeuralProbabilisticLM,
    NeuralProbabilisticLMConfig,
)
from .models.init import initialise
from .models.modern import (
    ModernBertConfig,
    ModernBertForCausalLM,
    ModernBertForMaskedLM,
    ModernBertForSequenceClassification,
    ModernBertForTokenClassification,
    ModernBertModel,
)
from .models.sequence_to_sequence import DecoderConfig, EncoderDecoder
from .objectives.base import Batch, Objective
from .objectives.bert_pretraining import BertPretraining
from .objectives.causal_lm import CausalLM
from .objectives.classification import Classification
from .objectives.distillation import Distillation
from .objectives.masked_image import MaskedImage
from .objectives.masked_lm import MaskedLM
from .objectives.multitask import MultiTask
from .objectives.reconstruction import Denoising, Reconstruction
from .objectives.replaced_token import ReplacedTokenDetection
from .objectives.translation import Translation
from .pretrained import load_pretrained, save_pretrained
from .training.config import TrainConfig
from .training.trainer import Trainer
from .transfer.few_labels import few_label_curve
from .transfer.fine_tune import FineTuning, fine_tune
from .transfer.heads import fine_tune_pairs, fine_tune_regressor, fine_tune_tagger
from .transfer.lora import LoraConfig, add_lora, load_lora, merge_lora, save_lora
from .transfer.probe import LinearProbe
from .transfer.tfidf import TfidfClassifier

__version__ = "0.1.0"

__all__ = [
    "add_lora",
    "Augmented",
    "Autoencoder",
    "AutoencoderConfig",
    "Batch",
    "BertConfig",
    "BertForMaskedLM",
    "BertForPreTraining",
    "BertForSequenceClassification",
    "BertForTokenClassification",
    "BertModel",
    "BertPretraining",
    "BidirectionalLSTM",
    "BidirectionalLSTMConfig",
    "CausalLM",
    "Classification",
    "Columns",
    "ConvAutoencoder",
    "ConvAutoencoderConfig",
    "DecoderConfig",
    "Denoising",
    "distill",
    "Distillation",
    "encode_labelled",
    "encode_pairs",
    "encode_tagged",
    "encode_text_pairs",
    "EncoderDecoder",
    "few_label_curve",
    "fine_tune",
    "fine_tune_pairs",
    "fine_tune_regressor",
    "fine_tune_tagger",
    "FineTuning",
    "HiddenMarkovLanguage",
    "ImageDataset",
    "initialise",
    "Keys",
    "labelled_subset",
    "LinearAutoencoder",
    "LinearProbe",
    "load_images",
    "load_labelled_text",
    "load_lora",
    "load_pretrained",
    "load_tagged_text",
    "load_text",
    "load_tokenizer",
    "load_translation",
    "LoraConfig",
    "MaskedAutoencoder",
    "MaskedAutoencoderConfig",
    "MaskedImage",
    "MaskedLM",
    "merge_lora",
    "Mixture",
    "ModernBertConfig",
    "ModernBertForCausalLM",
    "ModernBertForMaskedLM",
    "ModernBertForSequenceClassification",
    "ModernBertForTokenClassification",
    "ModernBertModel",
    "MultiTask",
    "NeuralProbabilisticLM",
    "NeuralProbabilisticLMConfig",
    "Objective",
    "PackedBlocks",
    "prepare",
    "prune",
    "quantize",
    "Reconstruction",
    "ReplacedTokenDetection",
    "save_lora",
    "save_pretrained",
    "save_tokenizer",
    "SentencePairs",
    "TfidfClassifier",
    "TokenDataset",
    "train_tokenizer",
    "TrainConfig",
    "Trainer",
    "Translation",
    "TwoSidedBigram",
    "Unigram",
]
