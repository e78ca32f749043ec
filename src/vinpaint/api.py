"""The library in a few calls: load a model, complete a clip. The commands are thin covers over these."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import NDArray
from omegaconf import DictConfig, OmegaConf
from torch import Tensor, nn

from vinpaint.config import CONFIG_DIR, ConfigError, build, compose, options, target_of
from vinpaint.inference.finished_frames import FinishedFrames
from vinpaint.inference.gap_completion import GapCompletion
from vinpaint.inference.inpainter import CarryingInpainter, Inpainter, MaskedClip, ResumableInpainter
from vinpaint.inference.window import WindowInpainter
from vinpaint.masks import ArrayMasks, MaskSequence, open_masks
from vinpaint.models.pretrained import CONFIG_FILE, PretrainedModel, load_pretrained, load_weights, read_config
from vinpaint.models.released import released_folder
from vinpaint.models.untrained import RANDOM_WEIGHTS, seeded
from vinpaint.ops.conversion import to_tensor, to_uint8
from vinpaint.video import ArrayClip, ClipReader, open_clip, open_writer
from vinpaint.video.behind import written_behind
from vinpaint.video.partial import remove_abandoned

DEFAULT_MODEL = "flow_guided_fusion"
NO_REFINEMENT = "none"
NO_COMPLETION = "none"

PathLike = str | Path
MaskSpec = PathLike | Sequence[int]


def load_model(model: PathLike = "sttn", *, weights: PathLike | None = None) -> nn.Module:
    """Build a network by name, or load one that was saved.

    Args:
        model: a name of ``conf/model`` (``sttn``, ``sttn_small`` …), or a folder that ``save_pretrained`` wrote.
        weights: a folder, a ``.safetensors``, a training ``.ckpt`` or a checkpoint of the public code; ``None`` takes
            those that come with the library, and leaves a network as initialised that has none.

    Returns:
        The network in evaluation mode, on the CPU.

    Raises:
        UserError: if there is no such model, it has no network, or the weights do not fit it.
    """
    if isinstance(model, Path) or Path(model).is_dir():
        return load_pretrained(model)
    node = _model_config(model)
    if node.network is None:
        raise ConfigError(f"{model} has no network to load: use load_inpainter('{model}')")
    if weights is None:
        weights = released_folder(model)
    network: nn.Module = _network(node, weights) if weights else build(node.network)
    return network.eval()


def load_inpainter(
    model: str | nn.Module | Inpainter = DEFAULT_MODEL,
    *,
    weights: PathLike | None = None,
    completion: str = NO_COMPLETION,
    refine: str = NO_REFINEMENT,
    overrides: Sequence[str] = (),
) -> Inpainter:
    """Make an engine that completes clips.

    Args:
        model: a name of ``conf/model``, a network of your own (``forward(frames, masks) -> completed``), or an engine,
            which is returned as it is.
        weights: what the network's weights are loaded from; ``"random"`` leaves them as initialised, ``None`` takes
            those that come with the library.
        completion: a name of ``conf/completion``: the model that makes up what no frame shows, beside one that borrows
            what others show (``flow_guided`` and ``flow_guided_fusion``); ``none`` leaves it to that one.
        refine: a name of ``conf/refine``: ``stra`` completes a reduced clip and carries detail into it from the
            full-size frames, ``bilinear`` enlarges it and no more, ``none`` is the engine alone.
        overrides: Hydra overrides such as ``["model.engine.max_references=4"]``, for a model given by name, and
            ``["refine.lr_scale=4"]`` for any.

    Raises:
        UserError: if a name or an override is wrong, a network has no weights, or the engine does not tell what no
            frame showed it and a completion is asked for.

    Returns:
        The engine; call ``engine.stream(MaskedClip(clip, masks))``.
    """
    around = [f"completion={completion}", f"refine={refine}", *overrides]
    if isinstance(model, str):
        config = _config(model, around)
        return inpainter_from_config(config.model, weights, completion=config.completion, refine=config.refine)
    engine: Inpainter = WindowInpainter(model) if isinstance(model, nn.Module) else model
    if refine == NO_REFINEMENT and completion == NO_COMPLETION:
        return engine
    config = compose("inpaint", around)
    return _surrounded(engine, config.completion, config.refine)


def inpainter_from_config(
    node: DictConfig,
    weights: PathLike | None = None,
    *,
    completion: DictConfig | None = None,
    refine: DictConfig | None = None,
) -> Inpainter:
    """Build the engine of a composed ``model`` node, with its network if it has one.

    Args:
        node: ``config.model``: ``name``, ``network`` (or null) and ``engine``.
        weights: see :func:`load_inpainter`.
        completion: ``config.completion``: such a node and its ``weights``, for what no frame shows; None: nothing.
        refine: ``config.refine``: what is built around the engine; None: nothing.

    Raises:
        UserError: if the network has no weights, or they do not fit.
    """
    return _surrounded(_engine(node, weights), completion, refine)


def inpaint_video(
    video: PathLike,
    masks: MaskSpec,
    output: PathLike | None = None,
    *,
    model: str | nn.Module | Inpainter = DEFAULT_MODEL,
    weights: PathLike | None = None,
    completion: str = NO_COMPLETION,
    refine: str = NO_REFINEMENT,
    dilation: int = 0,
    overwrite: bool = False,
    reader: Literal["auto", "decord", "pyav"] = "auto",
    frame_rate: Fraction | int = 24,
    quality: float = 7,
    lossless: bool = False,
    on_frame: Callable[[int, Tensor], None] | None = None,
) -> Path:
    """Complete a clip of any length and size and write the result.

    Args:
        video: a video file, a folder of frames or a zip of frames.
        masks: a folder of images, one image for the whole clip, a mask video, a zip, or a box ``(x, y, w, h)`` in
            pixels; non-zero = hole.
        output: a video file to write, or a name without suffix for a folder of PNGs;
            ``<name>_completed.mp4`` in the working folder if not given.
        model: see :func:`load_inpainter`.
        weights: see :func:`load_inpainter`.
        completion: see :func:`load_inpainter`.
        refine: see :func:`load_inpainter`.
        dilation: how many times the hole is dilated by a 3x3 cross (pixels it grows).
        overwrite: whether an existing output may be replaced.
        reader: ``auto``, ``decord`` or ``pyav``.
        frame_rate: frames per second of images, which do not tell; a video keeps its own.
        quality: h264 constant rate factor, 0 (best) to 51.
        lossless: write the frames without any loss.
        on_frame: called with the number and the completed frame ``(3, H, W)`` after each.

    Returns:
        The path of what was written. Nothing stands under that name until all of it is.

    Raises:
        UserError: if the clip, the masks, the model or the output cannot be used as asked.
    """
    inpainter = load_inpainter(model, weights=weights, completion=completion, refine=refine)
    with open_clip(video, reader=reader, frame_rate=frame_rate) as clip:
        holes = open_masks(masks, num_frames=clip.num_frames, height=clip.height, width=clip.width, dilation=dilation)
        path = Path(output) if output is not None else Path(f"{clip.name}_completed.mp4")
        write_completed(
            inpainter, clip, holes, path, overwrite=overwrite, quality=quality, lossless=lossless, on_frame=on_frame
        )
    return path


def inpaint_frames(
    frames: NDArray[np.uint8],
    masks: NDArray[np.bool_],
    *,
    model: str | nn.Module | Inpainter = DEFAULT_MODEL,
    weights: PathLike | None = None,
    completion: str = NO_COMPLETION,
    refine: str = NO_REFINEMENT,
) -> NDArray[np.uint8]:
    """Complete frames held in memory.

    Args:
        frames: ``(T, H, W, 3)`` uint8 RGB.
        masks: ``(T, H, W)`` bool, true = hole.
        model: see :func:`load_inpainter`.
        weights: see :func:`load_inpainter`.
        completion: see :func:`load_inpainter`.
        refine: see :func:`load_inpainter`.

    Returns:
        The completed frames, ``(T, H, W, 3)`` uint8 RGB, equal to ``frames`` outside the hole.
    """
    inpainter = load_inpainter(model, weights=weights, completion=completion, refine=refine)
    clip = MaskedClip(ArrayClip(frames), ArrayMasks(masks))
    return np.stack([to_uint8(frame) for frame in inpainter.stream(clip)])


def write_completed(
    inpainter: Inpainter,
    clip: ClipReader,
    masks: MaskSequence,
    output: Path,
    *,
    overwrite: bool = False,
    quality: float = 7,
    lossless: bool = False,
    on_frame: Callable[[int, Tensor], None] | None = None,
    finished: FinishedFrames | None = None,
) -> None:
    """Stream an engine's frames into a file, as they finish.

    Args:
        inpainter: the engine.
        clip: the frames; their rate, timestamps and audio are kept.
        masks: the holes.
        output: a video file, or a name without suffix for a folder of PNGs.
        overwrite: whether an existing output may be replaced.
        quality: h264 constant rate factor, 0 (best) to 51.
        lossless: write the frames without any loss.
        on_frame: called with the number and the completed frame ``(3, H, W)`` after each.
        finished: what an earlier start completed of this clip, open; new frames are added to it as they finish. The
            engine has to be a :class:`vinpaint.inference.inpainter.ResumableInpainter`.
    """
    masked = MaskedClip(clip, masks)
    if finished is not None:
        remove_abandoned(output)
        completed = _go_on(inpainter, masked, finished)
    else:
        completed = inpainter.stream(masked)
    with (
        open_writer(
            output, height=clip.height, width=clip.width, frame_rate=clip.frame_rate, like=clip,
            overwrite=overwrite, quality=quality, lossless=lossless,
        ) as writer,
        written_behind(writer.write) as write,
    ):  # fmt: skip
        for index, frame in enumerate(completed):
            write(to_uint8(frame))
            if on_frame is not None:
                on_frame(index, frame)


def _go_on(inpainter: Inpainter, clip: MaskedClip, finished: FinishedFrames) -> Iterator[Tensor]:
    """Yield the frames that are finished, then those the engine completes after them, which are kept as they come."""
    if not isinstance(inpainter, ResumableInpainter):
        raise TypeError(f"{type(inpainter).__name__} has no stream_from: it cannot go on in the middle of a clip")
    start = len(finished)
    for index in range(start):
        yield to_tensor(finished.read(index))
    if isinstance(inpainter, CarryingInpainter):
        for frame, carried in inpainter.stream_carrying(clip, start, finished.read_carried):
            finished.add(to_uint8(frame), carried)
            yield frame
        return
    for frame in inpainter.stream_from(clip, start, finished.read):
        finished.add(to_uint8(frame))
        yield frame


def _engine(node: DictConfig, weights: PathLike | None, *, option: str = "weights") -> Inpainter:
    """Build an engine; ``option`` is what a person sets to give it weights."""
    if node.network is None:
        if weights is not None:
            raise ConfigError(f"model={node.name} has no weights to load; leave out {option}={weights}")
        engine: Inpainter = build(node.engine)
        return engine
    if weights is None:
        weights = released_folder(node.name)
    if weights is None:
        raise ConfigError(
            f"model={node.name} needs {option}=<folder or file>; train it with vinpaint-train model={node.name}, "
            f"or pass {option}={RANDOM_WEIGHTS} to run it untrained"
        )
    network = _untrained(node) if weights == RANDOM_WEIGHTS else _network(node, weights)
    built: Inpainter = build(node.engine, model=network.eval())
    return built


def _untrained(node: DictConfig) -> nn.Module:
    """Build the network as initialised, the same at every start."""
    network: nn.Module = seeded(lambda: build(node.network))
    return network


def _network(node: DictConfig, weights: PathLike) -> nn.Module:
    """Build the network of a model with its weights; a released folder also says what the network looks like."""
    target = target_of(node.network)
    if (
        inspect.isclass(target)
        and issubclass(target, PretrainedModel)
        and (Path(weights).expanduser() / CONFIG_FILE).is_file()
    ):
        _refuse_what_weights_decide(target, node, weights)
        return target.from_pretrained(weights, **_switched(target, node.network))
    return load_weights(cast(nn.Module, build(node.network)), weights)


def _surrounded(engine: Inpainter, completion: DictConfig | None, refine: DictConfig | None) -> Inpainter:
    """Build what completes and what refines around an engine, if anything does."""
    if completion is not None:
        engine = GapCompletion(engine, _engine(completion, completion.weights, option="completion.weights"))
    if refine is not None:
        engine = build(refine, engine=engine)
    return engine


def _switched(target: type[PretrainedModel], node: DictConfig) -> dict[str, Any]:
    """Arguments that the configuration sets, of those that the class names in ``SWITCHES``: weights serve all values.

    Every other argument is what the weights were trained with.
    """
    parameters = inspect.signature(target).parameters
    differ = {key: node[key] for key in getattr(target, "SWITCHES", ()) if node.get(key) != parameters[key].default}
    built: dict[str, Any] = build(differ)
    return built


def _refuse_what_weights_decide(target: type[PretrainedModel], node: DictConfig, weights: PathLike) -> None:
    """Refuse an argument that was set, to something else than the weights were trained with: it would have no effect.

    What the model's file says of itself counts as not set.
    """
    file = CONFIG_DIR / "model" / f"{node.name}.yaml"
    if not file.is_file():
        return
    unset = OmegaConf.to_container(OmegaConf.load(file).network, resolve=False)
    asked = OmegaConf.to_container(node.network, resolve=True)
    trained = read_config(Path(weights).expanduser())
    assert isinstance(unset, dict)
    assert isinstance(asked, dict)
    for key in sorted(set(asked) & set(trained) - set(getattr(target, "SWITCHES", ()))):
        if asked[key] not in (unset.get(key), trained[key]):
            raise ConfigError(
                f"network.{key}={asked[key]}: the weights in {weights} were trained with {trained[key]}; leave it out, "
                f"give weights of such a network, or weights={RANDOM_WEIGHTS} to run it untrained"
            )


def _model_config(name: str) -> DictConfig:
    node: DictConfig = _config(name).model
    return node


def _config(name: str, overrides: Sequence[str] = ()) -> DictConfig:
    if name not in options("model"):
        compose("inpaint", [f"model={name}"])  # raises, naming the nearest model
    return compose("inpaint", [f"model={name}", *overrides])
