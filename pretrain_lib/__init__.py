"""Pre-training from first principles: sources of samples, objectives, models, and one loop."""

from .compression.distill import distill
from .compression.prune import prune
from .compression.quantise import quantize
from .data.images.augment import Augmented
from .data.images.dataset import ImageDataset
from .data.images.image_data import ImageConfig, ImageData
from .data.images.load import load_images
from .data.keys import Keys
from .data.mixture import Mixture
from .data.source import Columns
from .data.splits import labelled_subset
from .data.tasks.encoded import encode_labelled, encode_text_pairs
from .data.tasks.labelled import load_labelled_text
from .data.tasks.tagged import encode_tagged, load_tagged_text
from .data.tasks.translation import encode_pairs, load_translation
from .data.text.hidden_markov import HiddenMarkovLanguage
from .data.text.load import load_text
from .data.text.packing import PackedBlocks
from .data.text.pairs import SentencePairs
from .data.text.shards import prepare
from .data.text.text_data import TextConfig, TextData
from .data.text.token_dataset import TokenDataset
from .data.text.tokenizer import load_tokenizer, save_tokenizer, train_tokenizer
from .evaluation.counting import TwoSidedBigram, Unigram
from .models.autoencoder import Autoencoder, AutoencoderConfig, LinearAutoencoder
from .models.base import Classifier
from .models.batch_norm import BatchNorm
from .models.before_transformers import (
    BidirectionalLSTM,
    BidirectionalLSTMConfig,
    NeuralProbabilisticLM,
    NeuralProbabilisticLMConfig,
)
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
from .models.coupled import first_row, gathered
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
from .objectives.contrastive import Contrastive
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
from .transfer.lora import LoraConfig, add_lora, merge_lora
from .transfer.peft_format import load_lora, save_lora
from .transfer.probe import LinearProbe
from .transfer.tfidf import TfidfClassifier

__version__ = "0.1.0"

__all__ = [
    "add_lora",
    "Augmented",
    "Autoencoder",
    "AutoencoderConfig",
    "Batch",
    "BatchNorm",
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
    "Classifier",
    "Columns",
    "Contrastive",
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
    "first_row",
    "gathered",
    "HiddenMarkovLanguage",
    "ImageConfig",
    "ImageData",
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
    "TextConfig",
    "TextData",
    "TfidfClassifier",
    "TokenDataset",
    "train_tokenizer",
    "TrainConfig",
    "Trainer",
    "Translation",
    "TwoSidedBigram",
    "Unigram",
]
