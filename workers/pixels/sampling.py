"""Which frames of a multi-frame instance stand for it. Pure; called by `reader`."""

# Frames decoded at most, in pixels: 32 of 512 x 512, fewer of larger ones, so that one instance keeps to its time.
MAXIMUM_SAMPLED_PIXELS = 16 << 20


def sample_frames(count: int, maximum: int) -> list[int]:
    """Return indices from 0, ascending, evenly from the middle 90 % of `count` frames; all of them when they fit."""
    margin = int(count * 0.05)
    inner = count - 2 * margin
    if inner <= maximum:
        return list(range(margin, margin + inner))
    return [margin + (2 * i + 1) * inner // (2 * maximum) for i in range(maximum)]


def affordable_frames(frame_pixels: int, maximum: int) -> int:
    """Return how many frames of this size to decode: at least one, at most `maximum`."""
    return max(1, min(maximum, MAXIMUM_SAMPLED_PIXELS // frame_pixels))
