"""Transfer syntax → decoder: the door to imagecodecs.

Called by `stored` with one frame's code stream; gives the samples as the code stream holds them. Colour comes back
as RGB from the codecs that undo their own colour transform (`GIVES_RGB`), else as it was stored. To be used only
in a process with limits: code streams carry their own sizes, and native decoders allocate what those ask for.
"""

import zlib
from collections.abc import Callable
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from pydicom import uid

from workers.errors import Rejected
from workers.pixels.code_stream import check_coded_size
from workers.pixels.description import PixelDescription

Samples = NDArray[Any]

_JPEG = (
    uid.JPEGBaseline8Bit,
    uid.JPEGExtended12Bit,
    "1.2.840.10008.1.2.4.53",  # spectral selection, retired
    "1.2.840.10008.1.2.4.55",  # full progression, retired
    uid.JPEGLossless,
    uid.JPEGLosslessSV1,
)
_JPEG_LS = (uid.JPEGLSLossless, uid.JPEGLSNearLossless)
_JPEG_2000 = (uid.JPEG2000Lossless, uid.JPEG2000, uid.JPEG2000MCLossless, uid.JPEG2000MC)
_HTJ2K = (uid.HTJ2KLossless, uid.HTJ2KLosslessRPCL, uid.HTJ2K)
_JPEG_XL = ("1.2.840.10008.1.2.4.110", "1.2.840.10008.1.2.4.111", "1.2.840.10008.1.2.4.112")
_DEFLATED_FRAMES = "1.2.840.10008.1.2.8.1"

GIVES_RGB = frozenset([*_JPEG, *_JPEG_XL])


def decode_frame(transfer_syntax: str, code_stream: bytes, description: PixelDescription) -> Samples:
    """Decode one frame to [rows, columns] or [rows, columns, samples], in the code stream's own integer type.

    Raises Rejected(undecodable) when there is no decoder for the syntax, or the stream is damaged or of another size.
    """
    decoder = _DECODERS.get(transfer_syntax)
    if decoder is None:
        raise Rejected("undecodable", f"decode transfer syntax {transfer_syntax[:64]}: no decoder")
    check_coded_size(code_stream, description.rows, description.columns)
    try:
        return decoder(code_stream, description)
    except (MemoryError, Rejected):
        raise
    except Exception as error:  # every codec has its own error class
        raise Rejected("undecodable", f"decode {transfer_syntax}: {type(error).__name__}") from error


def native_dtype(description: PixelDescription, order: str) -> np.dtype[Any]:
    """Return the type of native samples; `order` is "<" or ">"."""
    kind = "f" if description.floating else "i" if description.signed else "u"
    return np.dtype(f"{order}{kind}{max(1, description.bits_allocated // 8)}")


def _jpeg(code_stream: bytes, description: PixelDescription) -> Samples:
    """Decode, undoing the colour transform: by the stream's own markers, without any by Photometric Interpretation."""
    is_marked = b"\xff\xe0\x00\x10JFIF" in code_stream[:1024] or b"\xff\xee\x00\x0eAdobe" in code_stream[:1024]
    if description.photometric == "RGB" and description.samples == 3 and not is_marked:
        return imagecodecs.jpeg8_decode(code_stream, colorspace="RGB", outcolorspace="RGB")
    return imagecodecs.jpeg8_decode(code_stream)


def _jpeg_ls(code_stream: bytes, _: PixelDescription) -> Samples:
    # CharLS takes seconds to find that a stream has no end; given one, it fails at once.
    return imagecodecs.jpegls_decode(code_stream + b"\xff\xd9")


def _jpeg_2000(code_stream: bytes, _: PixelDescription) -> Samples:
    return imagecodecs.jpeg2k_decode(code_stream, planar=False, numthreads=1)


def _htj2k(code_stream: bytes, _: PixelDescription) -> Samples:
    return imagecodecs.htj2k_decode(code_stream, planar=False)


def _jpeg_xl(code_stream: bytes, _: PixelDescription) -> Samples:
    return imagecodecs.jpegxl_decode(code_stream, numthreads=1)


def _rle(code_stream: bytes, description: PixelDescription) -> Samples:
    dtype = native_dtype(description, "<")
    shape = (description.samples, description.rows, description.columns)
    size = int(np.prod(shape)) * dtype.itemsize
    planes = np.frombuffer(_unpack_rle(code_stream, dtype, size), dtype).reshape(shape)
    return planes[0] if description.samples == 1 else np.moveaxis(planes, 0, -1)


def _unpack_rle(code_stream: bytes, dtype: np.dtype[Any], size: int) -> bytes | bytearray:
    """Unpack to `size` bytes, or fewer when the stream is damaged.

    Some writers pad an odd segment with a byte that reads as the start of another run; where one segment is all there
    is, bytes behind the last wanted one are harmless, so that run is fed zeros and cut off.
    """
    try:
        return imagecodecs.dicomrle_decode(code_stream, dtype, out=size)
    except RuntimeError:
        if int.from_bytes(code_stream[:4], "little") != 1:
            raise
        slack = bytes(128)
        return imagecodecs.dicomrle_decode(code_stream + slack, dtype, out=size + 2 * len(slack))[:size]


def _deflated_frame(code_stream: bytes, description: PixelDescription) -> Samples:
    size = (description.frame_bits + 7) // 8
    raw = zlib.decompressobj(-zlib.MAX_WBITS).decompress(code_stream, size)
    return unpack_native(raw, description, "<")


def unpack_native(raw: bytes, description: PixelDescription, order: str, first_bit: int = 0) -> Samples:
    """Shape one native frame's bytes to [rows, columns] or [rows, columns, samples].

    Of 4:2:2 chroma only the luma is kept. `first_bit` skips bits in front of a frame of single bits.
    Raises Rejected(truncated) when bytes are missing.
    """
    rows, columns = description.rows, description.columns
    if len(raw) * 8 < description.frame_bits + first_bit:
        raise Rejected("truncated", f"read a frame of {columns} x {rows}: {len(raw)} bytes are left")
    if description.bits_allocated == 1:
        bits = np.unpackbits(np.frombuffer(raw, np.uint8), count=first_bit + rows * columns, bitorder="little")
        return bits[first_bit:].reshape(rows, columns)
    count = int(rows * columns * description.stored_samples)
    samples = np.frombuffer(raw, native_dtype(description, order), count)
    if description.stored_samples != description.samples:
        return _luma_of_422(samples).reshape(rows, columns)
    if description.samples == 1:
        return samples.reshape(rows, columns)
    if description.planar:
        return np.moveaxis(samples.reshape(description.samples, rows, columns), 0, -1)
    return samples.reshape(rows, columns, description.samples)


def _luma_of_422(samples: Samples) -> Samples:
    """PS3.3 C.7.6.3.1.2: each two pixels are stored as Y Y Cb Cr."""
    return samples.reshape(-1, 4)[:, :2].reshape(-1)


_Decoder = Callable[[bytes, PixelDescription], Samples]
_DECODERS: dict[str, _Decoder] = {
    **dict.fromkeys(_JPEG, _jpeg),
    **dict.fromkeys(_JPEG_LS, _jpeg_ls),
    **dict.fromkeys(_JPEG_2000, _jpeg_2000),
    **dict.fromkeys(_HTJ2K, _htj2k),
    **dict.fromkeys(_JPEG_XL, _jpeg_xl),
    uid.RLELossless: _rle,
    _DEFLATED_FRAMES: _deflated_frame,
}
