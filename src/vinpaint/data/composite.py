"""Clips to judge on, each under the recorded mask sequence of another: the clip itself is the truth."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vinpaint.data.sources import ClipList, ClipSource, DataError
from vinpaint.masks import MaskSequence, ResizedMasks
from vinpaint.masks.bank import list_bank
from vinpaint.masks.files import open_sequence
from vinpaint.masks.imposed import PingPongMasks, ShadowMasks
from vinpaint.video import ClipReader


class CompositeClips(ClipList):
    """Clips under recorded mask sequences of a folder, paired by a seed so that no clip meets its own.

    A sequence is played forwards and backwards where it is shorter than its clip, and resized to it by nearest
    neighbour; each is used as often as any other, give or take one.

    Args:
        clips: the clips.
        masks: holds one folder of pictures, zip or mask video per sequence. A sequence of a clip's own name is never
            laid over it.
        shadow: add to each hole the shadow of its object, as a stand-in for masks that were annotated with shadows: the
            hole itself, leaning to a side and moved down by 5 to 10 % of the frame's height.
        seed: another seed pairs otherwise.

    Raises:
        DataError: on first use, if the pairing cannot be made.
        MaskError: on first use, if there are no sequences.

    Source: the Syn-DS+ set of STRA-Net (BMVC 2021), 50 mask sequences of DAVIS with shadows over 50 other clips; clips
    and masks were never released, and its pairing is not stated.
    """

    def __init__(self, clips: Sequence[ClipSource], masks: str | Path, *, shadow: bool = False, seed: int = 0) -> None:
        self.clips = clips
        self.masks = Path(masks).expanduser()
        self.shadow = shadow
        self.seed = seed

    def list_clips(self) -> Sequence[ClipSource]:
        """List the clips in the order they have, each with its masks."""
        sequences = list_bank(self.masks)
        names = [path.name if path.is_dir() else path.stem for path in sequences]
        pairing = pair_with_others([clip.name for clip in self.clips], names, seed=self.seed)
        return [
            CompositeSource(clip, sequences[index], self.shadow, self.seed)
            for clip, index in zip(self.clips, pairing, strict=True)
        ]


@dataclass(frozen=True)
class CompositeSource:
    """A clip under the masks of another.

    Attributes:
        clip: the clip.
        sequence: where the masks lie.
        shadow: whether shadows are added.
        seed: of the shadow, beside the clip's name.
    """

    clip: ClipSource
    sequence: Path
    shadow: bool
    seed: int

    @property
    def name(self) -> str:
        """That of the clip."""
        return self.clip.name

    def open(self) -> ClipReader:
        """Open the clip."""
        return self.clip.open()

    def open_masks(self, clip: ClipReader) -> MaskSequence:
        """Open the masks of the other clip, made as long and as large as this one.

        Raises:
            MaskError: if they cannot be read.
        """
        masks: MaskSequence = PingPongMasks(open_sequence(self.sequence), num_frames=clip.num_frames)
        masks = ResizedMasks(masks, height=clip.height, width=clip.width)
        if not self.shadow:
            return masks
        rng = np.random.default_rng([self.seed, zlib.crc32(self.name.encode())])
        return ShadowMasks(masks, drop=rng.uniform(0.05, 0.1), lean=rng.uniform(-0.3, 0.3))


def pair_with_others(clips: Sequence[str], sequences: Sequence[str], *, seed: int) -> list[int]:
    """Give every clip a mask sequence that is not its own.

    Args:
        clips: names of clips.
        sequences: names of mask sequences.
        seed: of the pairing.

    Returns:
        Per clip the number of its sequence. Each number comes as often as any other, give or take one; with as many
        sequences as clips it is a permutation, and where names are the same a derangement.

    Raises:
        DataError: if there is no such pairing: the only sequences at hand are a clip's own.
    """
    if not sequences:
        raise DataError("no mask sequences to lay over the clips")
    rng = np.random.default_rng([seed, len(clips), len(sequences)])
    rounds = -(-len(clips) // len(sequences))
    drawn = np.concatenate([rng.permutation(len(sequences)) for _ in range(rounds)])[: len(clips)]
    numbers = [int(number) for number in drawn]
    for index, clip in enumerate(clips):
        if sequences[numbers[index]] != clip:
            continue
        partners = [
            other
            for other in range(len(clips))
            if sequences[numbers[other]] != clip and clips[other] != sequences[numbers[index]]
        ]
        if partners:
            other = partners[int(rng.integers(len(partners)))]
            numbers[index], numbers[other] = numbers[other], numbers[index]
            continue
        unused = [number for number, name in enumerate(sequences) if name != clip and number not in numbers]
        if not unused:
            raise DataError(
                f"{clip}: the masks hold no sequence but its own that no other clip needs; add mask sequences of others"
            )
        numbers[index] = unused[int(rng.integers(len(unused)))]
    return numbers
