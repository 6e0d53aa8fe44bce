"""Stored instance → frames as floats: what is in the picture, not how somebody windowed it.

`reader.read_frames` is the way in; it runs inside the limited child of `workers.decoding`, because it parses hostile
bytes. The steps, one module each: `source` (file → header and Pixel Data), `description` (what the header claims, held
against the budget), `stored` with `fragments` and `codecs` (frame → stored values), `grey`, `units`, `tone`, `canvas`.
Nothing here imports torch.
"""
