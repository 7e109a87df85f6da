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
from .data.images.captioned import CaptionedImages
from .data.images.captioned_data import CaptionedConfig, CaptionedData
from .data.images.dataset import ImageDataset
from .data.images.image_data import ImageConfig, ImageData
from .data.images.load import load_images
from .data.images.load_captioned import load_captioned
from .data.images.photometric import Blur, ColourJitter, RandomGrey, RandomInvert
from .data.images.view_data import ImageViews, ImageViewsConfig
from .data.images.views import TwoViews
from .data.keys import Keys
from .data.mixture import Mixture
from .data.scenes.captions import wrong_captions
from .data.knowledge.biographies import Biographies, BiographyConfig
from .data.knowledge.spans import Span, SpannedText, encode_spans, spans_of
from .data.knowledge.triples import Triples, load_triples, triple_leaks
from .data.mixture import Mixture, temperature_weights, whole_shares
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
from .data.splits import held_out_pairs, labelled_subset
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
from .data.text.load_neighbours import load_neighbours
from .data.text.neighbour_data import NeighbourConfig, NeighbourData
from .data.text.neighbours import (
    EncodedNeighbours,
    Neighbours,
    encode_neighbours,
    named_docstrings,
    neighbouring_texts,
    text_numbers,
    translations,
)
from .data.text.packing import PackedBlocks
from .data.text.pairs import SentencePairs
from .data.text.repeats import RepeatedSegments
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
from .data.text.words import word_tokenizer
from .evaluation.attention import attention_probabilities
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
from .evaluation.fits import ScalingLaw, TrainingRuns, fit_law
from .evaluation.iou import box_iou, mean_iou
from .evaluation.linear import LinearMap, fit_linear
from .evaluation.cloze import phrase_log_probabilities
from .evaluation.gradients import gradient_cosines
from .evaluation.iou import box_iou, mean_iou
from .evaluation.link_prediction import EntityCounts, link_prediction
from .evaluation.masked import MaskedSet, masked_scores
from .evaluation.retrieval import Retrieval, cosine_scores, measure_retrieval
from .evaluation.patching import patching_map
from .evaluation.sparsity import sparse_scores
from .models.acoustic import (
    AcousticLSTM,
    AcousticLSTMConfig,
    AcousticTransformer,
    AcousticTransformerConfig,
)
from .models.autoencoder import Autoencoder, AutoencoderConfig, LinearAutoencoder
from .models.bag_of_words import BagOfWords, BagOfWordsConfig
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
from .models.clip import CLIPModel, CLIPTextModel, CLIPVisionModel
from .models.clip_config import CLIPConfig, CLIPTextConfig, CLIPVisionConfig
from .models.convolutional import (
    ConvAutoencoder,
    ConvAutoencoderConfig,
    MaskedAutoencoder,
    MaskedAutoencoderConfig,
)
from .models.coupled import first_row, gathered
from .models.dense import Detector, Segmenter
from .models.embedder import SentenceEmbedder
from .models.frames import Frames
from .models.init import initialise
from .models.knowledge import (
    ComplEx,
    ComplExConfig,
    DistMult,
    KnowledgeConfig,
    TransE,
    TransEConfig,
)
from .models.knowledge_encoder import KnowledgeEncoder
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
from .models.sparse_autoencoder import SparseAutoencoder, SparseAutoencoderConfig
from .models.transcriber import Transcriber
from .models.two_towers import Tower, TwoTowers
from .models.video import (
    VideoMAEConfig,
    VideoMAEForPreTraining,
    VideoMAEForVideoClassification,
    VideoMAEModel,
)
from .models.vit import ViTConfig, ViTForImageClassification, ViTModel
from .models.vit_mae import ViTMAEConfig, ViTMAEForPreTraining
from .models.wav2vec2 import HubertConfig, HubertModel, Wav2Vec2Config, Wav2Vec2Model
from .models.width import scale_first_weights
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
from .objectives.gradient_surgery import GradientSurgery, project_conflicts
from .objectives.knowledge import TripleMargin, TripleSoftmax
from .objectives.masked_diffusion import MaskedDiffusion
from .objectives.masked_image import MaskedImage
from .objectives.masked_lm import MaskedLM
from .objectives.multitask import MultiTask, UncertaintyWeighted
from .objectives.masked_video import MaskedVideo
from .objectives.multitask import MultiTask
from .objectives.reconstruction import Denoising, Reconstruction
from .objectives.regression import Regression
from .objectives.replaced_token import ReplacedTokenDetection
from .objectives.segmentation import Segmentation
from .objectives.rotation import RotationPrediction
from .objectives.self_distillation import SelfDistillation
from .objectives.sparse import SparseReconstruction
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
from .transfer.embed import embed
from .transfer.features import features, logits
from .transfer.few_labels import few_label_curve
from .transfer.fine_tune import FineTuning, fine_tune
from .transfer.generate import Guide, sample_causal, sample_masked
from .transfer.heads import (
    fine_tune_pairs,
    fine_tune_regressor,
    fine_tune_tagger,
    pair_logits,
    predicted_scores,
    predicted_tags,
)
from .transfer.lexical import bm25_scores, tfidf_scores
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
from .transfer.zero_shot import ZeroShot

__version__ = "0.1.0"

__all__ = [
    "AcousticLSTM",
    "AcousticLSTMConfig",
    "AcousticTransformer",
    "AcousticTransformerConfig",
    "add_lora",
    "attention_probabilities",
    "Augmented",
    "Autoencoder",
    "AutoencoderConfig",
    "average_precision",
    "BagOfWords",
    "BagOfWordsConfig",
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
    "Biographies",
    "BiographyConfig",
    "Blur",
    "bm25_scores",
    "box_iou",
    "CaptionedConfig",
    "CaptionedData",
    "CaptionedImages",
    "CausalLM",
    "centred",
    "CheckpointError",
    "Classification",
    "Classifier",
    "CLIPConfig",
    "ClipConfig",
    "ClipDataset",
    "CLIPModel",
    "Clips",
    "CLIPTextConfig",
    "CLIPTextModel",
    "CLIPVisionConfig",
    "CLIPVisionModel",
    "cluster_purity",
    "Clusters",
    "ColourJitter",
    "Columns",
    "ComplEx",
    "ComplExConfig",
    "continues_word",
    "Contrastive",
    "ContrastivePrediction",
    "ConvAutoencoder",
    "ConvAutoencoderConfig",
    "cosine_scores",
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
    "DistMult",
    "effective_rank",
    "embed",
    "encode_labelled",
    "encode_neighbours",
    "encode_pairs",
    "encode_spans",
    "encode_tagged",
    "encode_text_pairs",
    "encode_texts",
    "EncodedNeighbours",
    "EncodedPairs",
    "EncodedText",
    "EncoderDecoder",
    "EntityCounts",
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
    "fit_law",
    "fit_linear",
    "frame_samples",
    "frame_vectors",
    "FrameOrder",
    "Frames",
    "gathered",
    "gradient_cosines",
    "GradientSurgery",
    "greedy_transcripts",
    "Guide",
    "held_out_pairs",
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
    "KnowledgeConfig",
    "KnowledgeEncoder",
    "labelled_subset",
    "LengthBuckets",
    "LinearAutoencoder",
    "LinearMap",
    "LinearProbe",
    "link_prediction",
    "load_captioned",
    "load_clips",
    "load_compressed",
    "load_images",
    "load_labelled_text",
    "load_lora",
    "load_neighbours",
    "load_pretrained",
    "load_speech",
    "load_tagged_text",
    "load_text",
    "load_tokenizer",
    "load_translation",
    "load_triples",
    "log_mel",
    "logits",
    "LoraConfig",
    "masked_scores",
    "MaskedAutoencoder",
    "MaskedAutoencoderConfig",
    "MaskedDiffusion",
    "MaskedFrames",
    "MaskedImage",
    "MaskedLM",
    "MaskedSet",
    "MaskedVideo",
    "mean_iou",
    "measure_retrieval",
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
    "named_docstrings",
    "NeighbourConfig",
    "NeighbourData",
    "neighbouring_texts",
    "Neighbours",
    "NeuralProbabilisticLM",
    "NeuralProbabilisticLMConfig",
    "Noise",
    "NonFiniteError",
    "Objective",
    "PackedBlocks",
    "pair_logits",
    "patching_map",
    "phone_information",
    "phone_purity",
    "phrase_log_probabilities",
    "predicted_boxes",
    "predicted_masks",
    "predicted_scores",
    "predicted_tags",
    "prefix_beam",
    "prepare",
    "PreTrainingLogits",
    "project_conflicts",
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
    "RepeatedSegments",
    "ReplacedTokenDetection",
    "resample",
    "ResNetConfig",
    "ResNetForImageClassification",
    "ResNetModel",
    "Retrieval",
    "Room",
    "RotationPrediction",
    "sample_causal",
    "sample_masked",
    "save_compressed",
    "save_lora",
    "save_pretrained",
    "save_tokenizer",
    "scale_first_weights",
    "ScalingLaw",
    "SceneConfig",
    "Scenes",
    "Segmentation",
    "Segmenter",
    "SelfDistillation",
    "SentenceEmbedder",
    "SentencePairs",
    "Sequences",
    "ShardError",
    "sound_samples",
    "Source",
    "Span",
    "SpannedText",
    "spans_of",
    "sparse_scores",
    "SparseAutoencoder",
    "SparseAutoencoderConfig",
    "SparseReconstruction",
    "special_ids",
    "SpeechConfig",
    "SpeechData",
    "SpeechDataset",
    "Tagging",
    "temperature_weights",
    "text_numbers",
    "TextConfig",
    "TextData",
    "tfidf_scores",
    "TfidfClassifier",
    "token_loss",
    "TokenDataset",
    "Tower",
    "train_tokenizer",
    "TrainConfig",
    "Trainer",
    "TrainingRuns",
    "Transcriber",
    "transcripts",
    "TransE",
    "TransEConfig",
    "Translation",
    "translations",
    "triple_leaks",
    "TripleMargin",
    "Triples",
    "TripleSoftmax",
    "TwoSidedBigram",
    "TwoTowers",
    "TwoViews",
    "UncertaintyWeighted",
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
    "whole_shares",
    "word_tokenizer",
    "write_wave",
    "wrong_captions",
    "ZeroShot",
]
