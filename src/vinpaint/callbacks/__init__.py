"""What happens beside training: measuring, averaging, showing and saving."""

from vinpaint.callbacks.checkpoint_files import CheckpointFiles
from vinpaint.callbacks.clip_logger import ClipLogger
from vinpaint.callbacks.csv_log import CSVLog
from vinpaint.callbacks.ema import EMA, averaged_weights
from vinpaint.callbacks.evaluation_logger import log_evaluation
from vinpaint.callbacks.progress_bar import ProgressBar
from vinpaint.callbacks.video_metrics import VideoMetrics
from vinpaint.callbacks.wandb_offline import finish_wandb, wandb_logger
from vinpaint.callbacks.weights_exporter import WeightsExporter

__all__ = [
    "EMA",
    "CSVLog",
    "CheckpointFiles",
    "ClipLogger",
    "ProgressBar",
    "VideoMetrics",
    "WeightsExporter",
    "averaged_weights",
    "finish_wandb",
    "log_evaluation",
    "wandb_logger",
]
