"""The limited child: decodes one instance after another, so that hostile bytes cannot take the worker with them.

Started by `workers.decoding` as `python -m workers.pixels.child`; never imports torch. It limits its own memory,
and a timer of the kernel ends it when a job overruns, whatever native code is doing and whether or not its parent
still lives; at the end of its input it ends.

Wire, both ways: a line of JSON, then as many raw bytes as the line's `size_bytes` says (none in a job). A job is
{"path"}; its answer is {"frame_numbers", "shape", "meta", "size_bytes"} with float32 little endian, {"rejected",
"message"} or {"unavailable"}. The first answer, {"ready"}, comes unasked.
"""

import ctypes
import json
import logging
import os
import resource
import signal
import sys
import warnings
from pathlib import Path
from typing import Any, BinaryIO

from workers.errors import Rejected, Unavailable
from workers.pixels.reader import read_frames

_PR_SET_PDEATHSIG = 1
_GRACE_S = 1.0  # the parent's clock goes first; the kernel's timer is for a parent that is gone or stuck


def main(orders: dict[str, Any]) -> int:
    """Serve jobs from standard input until it ends.

    `orders` has memory_bytes, time_s, maximum_frames, niceness and parent_pid.
    """
    end_with_parent(orders["parent_pid"])
    for number in (signal.SIGINT, signal.SIGTERM):  # sent to a whole group; the parent decides when to end
        signal.signal(number, signal.SIG_IGN)
    os.nice(orders["niceness"])
    jobs, answers = _take_pipes()
    _keep_silent()
    limit_memory(orders["memory_bytes"])
    _answer(answers, {"ready": True})
    for line in jobs:
        signal.setitimer(signal.ITIMER_REAL, orders["time_s"] + _GRACE_S)
        header, body = _serve(Path(json.loads(line)["path"]), orders["maximum_frames"])
        signal.setitimer(signal.ITIMER_REAL, 0)
        _answer(answers, header, body)
    return 0


def end_with_parent(parent: int) -> None:
    """Have the kernel end this process with the thread that started it; end at once if that has happened already."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit(0)


def limit_memory(memory_bytes: int) -> None:
    """Allow this much beyond what interpreter and libraries have mapped by now; no core is dumped, it holds pixels."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    limit = memory_bytes + pages * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _take_pipes() -> tuple[BinaryIO, BinaryIO]:
    """Keep the pipe to the parent apart from standard output, which native libraries may print on."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return sys.stdin.buffer, answers


def _keep_silent() -> None:
    """Warnings of parsers quote the values they stumble over, which may be a patient's."""
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 1)
    os.dup2(nothing, 2)


def _serve(path: Path, maximum_frames: int) -> tuple[dict[str, Any], bytes]:
    try:
        frames = read_frames(path, maximum_frames)
    except Rejected as rejection:
        return {"rejected": rejection.code, "message": str(rejection)}, b""
    except Unavailable as error:
        return {"unavailable": str(error)}, b""
    except MemoryError:
        return {"rejected": "decoder_memory", "message": "decode an instance: it asks for more than the limit"}, b""
    except BaseException as error:  # noqa: BLE001 - native code raises what is no Exception, and it is the bytes' fault
        return {"rejected": "undecodable", "message": f"decode an instance: {type(error).__name__}"}, b""
    header = {
        "frame_numbers": frames.frame_numbers,
        "shape": frames.pixels.shape,
        "meta": frames.meta.to_dict(),
    }
    return header, frames.pixels.astype("<f4", copy=False).tobytes()


def _answer(answers: BinaryIO, header: dict[str, Any], body: bytes = b"") -> None:
    answers.write(json.dumps({**header, "size_bytes": len(body)}).encode() + b"\n" + body)
    answers.flush()


if __name__ == "__main__":
    sys.exit(main(json.loads(sys.argv[1])))
