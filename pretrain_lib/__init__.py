"""Pre-training from first principles: sources of samples, objectives, models, and one loop."""

from .compression.distill import distill
from .compression.importance import importance
from .compression.prune import prune, prune_weights
from .compression.quantise import quantize
from .compression.saved import load_compressed, save_compressed
from .data.beside import Beside, Sequences
from .data.images.augment import (
    Augmented,
    Noise,
    RandomCrop,
    RandomFlip,
    RandomResizedCrop,
    RandomRotate,
    RandomScale,
)
from .data.images.dataset import ImageDataset
from .data.images.image_data import ImageConfig, ImageData
from .data.images.load import load_images
from .data.images.photometric import Blur, ColourJitter, RandomGrey, RandomInvert
from .data.images.view_data import ImageViews, ImageViewsConfig
from .data.images.views import TwoViews
from .data.keys import Keys
from .data.mixture import Mixture
from .data.scenes.scenes import SceneConfig, Scenes
from .data.scenes.video import ClipConfig, Clips
from .data.source import Columns, Source
from .data.speech.buckets import LengthBuckets
from .data.speech.dataset import SpeechDataset
from .data.speech.features import MelConfig, centred, deltas, log_mel, mfcc
from .data.speech.load import load_speech
from .data.speech.resample import resample
from .data.speech.room import Room
from .data.speech.speech_data import SpeechConfig, SpeechData
from .data.speech.waves import read_wave, write_wave
from .data.splits import labelled_subset
from .data.tables.dialect import Dialect
from .data.tasks.encoded import (
    EncodedText,
    encode_labelled,
    encode_text_pairs,
    encode_texts,
)
from .data.tasks.labelled import load_labelled_text
from .data.tasks.tagged import encode_tagged, load_tagged_text
from .data.tasks.translation import EncodedPairs, encode_pairs, load_translation
from .data.text.dedup import deduplicate
from .data.text.hidden_markov import HiddenMarkovLanguage
from .data.text.load import load_text
from .data.text.packing import PackedBlocks
from .data.text.pairs import SentencePairs
from .data.text.shards import prepare
from .data.text.text_data import TextConfig, TextData
from .data.text.token_dataset import ShardError, TokenDataset
from .data.text.tokenizer import (
    continues_word,
    load_tokenizer,
    save_tokenizer,
    special_ids,
    train_tokenizer,
)
from .data.video.dataset import ClipDataset
from .data.video.load import load_clips
from .data.video.video_data import VideoConfig, VideoData
from .evaluation.average_precision import average_precision
from .evaluation.clusters import (
    Clusters,
    cluster_purity,
    k_means,
    phone_information,
    phone_purity,
)
from .evaluation.collapse import direction_spread, effective_rank
from .evaluation.counting import TwoSidedBigram, Unigram
from .evaluation.error_rate import error_rate
from .evaluation.iou import box_iou, mean_iou
from .evaluation.masked import MaskedSet, masked_scores
from .models.acoustic import (
    AcousticLSTM,
    AcousticLSTMConfig,
    AcousticTransformer,
    AcousticTransformerConfig,
)
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
    PreTrainingLogits,
)
from .models.convolutional import (
    ConvAutoencoder,
    ConvAutoencoderConfig,
    MaskedAutoencoder,
    MaskedAutoencoderConfig,
)
from .models.coupled import first_row, gathered
from .models.dense import Detector, Segmenter
from .models.frames import Frames
from .models.init import initialise
from .models.modern import (
    ModernBertConfig,
    ModernBertForCausalLM,
    ModernBertForMaskedLM,
    ModernBertForSequenceClassification,
    ModernBertForTokenClassification,
    ModernBertModel,
)
from .models.projection import ProjectionHead
from .models.resnet import ResNetConfig, ResNetForImageClassification, ResNetModel
from .models.sequence_to_sequence import DecoderConfig, EncoderDecoder
from .models.transcriber import Transcriber
from .models.video import (
    VideoMAEConfig,
    VideoMAEForPreTraining,
    VideoMAEForVideoClassification,
    VideoMAEModel,
)
from .models.vit import ViTConfig, ViTForImageClassification, ViTModel
from .models.vit_mae import ViTMAEConfig, ViTMAEForPreTraining
from .models.wav2vec2 import HubertConfig, HubertModel, Wav2Vec2Config, Wav2Vec2Model
from .objectives.base import Batch, Objective
from .objectives.bert_pretraining import BertPretraining
from .objectives.causal_lm import CausalLM
from .objectives.classification import Classification
from .objectives.contrastive import Contrastive
from .objectives.contrastive_prediction import ContrastivePrediction
from .objectives.ctc import CTC, ctc_log_likelihood, greedy_transcripts, prefix_beam
from .objectives.detection import Detection
from .objectives.distillation import Distillation
from .objectives.frame_order import FrameOrder
from .objectives.frames import MaskedFrames
from .objectives.masked_image import MaskedImage
from .objectives.masked_lm import MaskedLM
from .objectives.masked_video import MaskedVideo
from .objectives.multitask import MultiTask
from .objectives.reconstruction import Denoising, Reconstruction
from .objectives.regression import Regression
from .objectives.replaced_token import ReplacedTokenDetection
from .objectives.segmentation import Segmentation
from .objectives.rotation import RotationPrediction
from .objectives.self_distillation import SelfDistillation
from .objectives.tagging import Tagging
from .objectives.text import token_loss
from .objectives.translation import Translation
from .objectives.vicreg import VICReg
from .pretrained import load_pretrained, save_pretrained
from .training.checkpoint import CheckpointError
from .training.config import TrainConfig
from .training.finite import NonFiniteError
from .training.trainer import Trainer
from .transfer.dense import (
    fine_tune_detector,
    fine_tune_segmenter,
    predicted_boxes,
    predicted_masks,
)
from .transfer.features import features, logits
from .transfer.few_labels import few_label_curve
from .transfer.fine_tune import FineTuning, fine_tune
from .transfer.heads import (
    fine_tune_pairs,
    fine_tune_regressor,
    fine_tune_tagger,
    pair_logits,
    predicted_scores,
    predicted_tags,
)
from .transfer.lora import LoraConfig, add_lora, merge_lora, unmerge_lora
from .transfer.peft_format import load_lora, save_lora
from .transfer.probe import LinearProbe
from .transfer.speech import (
    fine_tune_ctc,
    frame_samples,
    frame_vectors,
    sound_samples,
    transcripts,
)
from .transfer.tfidf import TfidfClassifier

__version__ = "0.1.0"

__all__ = [
    "AcousticLSTM",
    "AcousticLSTMConfig",
    "AcousticTransformer",
    "AcousticTransformerConfig",
    "add_lora",
    "Augmented",
    "Autoencoder",
    "AutoencoderConfig",
    "average_precision",
    "Batch",
    "BatchNorm",
    "BertConfig",
    "BertForMaskedLM",
    "BertForPreTraining",
    "BertForSequenceClassification",
    "BertForTokenClassification",
    "BertModel",
    "BertPretraining",
    "Beside",
    "BidirectionalLSTM",
    "BidirectionalLSTMConfig",
    "Blur",
    "box_iou",
    "CausalLM",
    "centred",
    "CheckpointError",
    "Classification",
    "Classifier",
    "ClipConfig",
    "ClipDataset",
    "Clips",
    "cluster_purity",
    "Clusters",
    "ColourJitter",
    "Columns",
    "continues_word",
    "Contrastive",
    "ContrastivePrediction",
    "ConvAutoencoder",
    "ConvAutoencoderConfig",
    "CTC",
    "ctc_log_likelihood",
    "DecoderConfig",
    "deduplicate",
    "deltas",
    "Denoising",
    "Detection",
    "Detector",
    "Dialect",
    "direction_spread",
    "distill",
    "Distillation",
    "effective_rank",
    "encode_labelled",
    "encode_pairs",
    "encode_tagged",
    "encode_text_pairs",
    "encode_texts",
    "EncodedPairs",
    "EncodedText",
    "EncoderDecoder",
    "error_rate",
    "features",
    "few_label_curve",
    "fine_tune",
    "fine_tune_ctc",
    "fine_tune_detector",
    "fine_tune_pairs",
    "fine_tune_regressor",
    "fine_tune_segmenter",
    "fine_tune_tagger",
    "FineTuning",
    "first_row",
    "frame_samples",
    "frame_vectors",
    "FrameOrder",
    "Frames",
    "gathered",
    "greedy_transcripts",
    "HiddenMarkovLanguage",
    "HubertConfig",
    "HubertModel",
    "ImageConfig",
    "ImageData",
    "ImageDataset",
    "ImageViews",
    "ImageViewsConfig",
    "importance",
    "initialise",
    "k_means",
    "Keys",
    "labelled_subset",
    "LengthBuckets",
    "LinearAutoencoder",
    "LinearProbe",
    "load_clips",
    "load_compressed",
    "load_images",
    "load_labelled_text",
    "load_lora",
    "load_pretrained",
    "load_speech",
    "load_tagged_text",
    "load_text",
    "load_tokenizer",
    "load_translation",
    "log_mel",
    "logits",
    "LoraConfig",
    "masked_scores",
    "MaskedAutoencoder",
    "MaskedAutoencoderConfig",
    "MaskedFrames",
    "MaskedImage",
    "MaskedLM",
    "MaskedSet",
    "MaskedVideo",
    "mean_iou",
    "MelConfig",
    "merge_lora",
    "mfcc",
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
    "Noise",
    "NonFiniteError",
    "Objective",
    "PackedBlocks",
    "pair_logits",
    "phone_information",
    "phone_purity",
    "predicted_boxes",
    "predicted_masks",
    "predicted_scores",
    "predicted_tags",
    "prefix_beam",
    "prepare",
    "PreTrainingLogits",
    "ProjectionHead",
    "prune",
    "prune_weights",
    "quantize",
    "RandomCrop",
    "RandomFlip",
    "RandomGrey",
    "RandomInvert",
    "RandomResizedCrop",
    "RandomRotate",
    "RandomScale",
    "read_wave",
    "Reconstruction",
    "Regression",
    "ReplacedTokenDetection",
    "resample",
    "ResNetConfig",
    "ResNetForImageClassification",
    "ResNetModel",
    "Room",
    "RotationPrediction",
    "save_compressed",
    "save_lora",
    "save_pretrained",
    "save_tokenizer",
    "SceneConfig",
    "Scenes",
    "Segmentation",
    "Segmenter",
    "SelfDistillation",
    "SentencePairs",
    "Sequences",
    "ShardError",
    "sound_samples",
    "Source",
    "special_ids",
    "SpeechConfig",
    "SpeechData",
    "SpeechDataset",
    "Tagging",
    "TextConfig",
    "TextData",
    "TfidfClassifier",
    "token_loss",
    "TokenDataset",
    "train_tokenizer",
    "TrainConfig",
    "Trainer",
    "Transcriber",
    "transcripts",
    "Translation",
    "TwoSidedBigram",
    "TwoViews",
    "Unigram",
    "unmerge_lora",
    "VICReg",
    "VideoConfig",
    "VideoData",
    "VideoMAEConfig",
    "VideoMAEForPreTraining",
    "VideoMAEForVideoClassification",
    "VideoMAEModel",
    "ViTConfig",
    "ViTForImageClassification",
    "ViTMAEConfig",
    "ViTMAEForPreTraining",
    "ViTModel",
    "Wav2Vec2Config",
    "Wav2Vec2Model",
    "write_wave",
]
