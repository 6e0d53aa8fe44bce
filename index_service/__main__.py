"""`python -m index_service`: the whole index, or with `shard N` one shard of it.

Exit status 0: ended by SIGTERM or SIGINT; else one of `ExitStatus`.
"""

import argparse
import logging
import signal
import sys
import threading
import time
from collections.abc import Sequence

from pydantic import ValidationError

from index_service.children import ExitStatus, end_with_parent
from index_service.errors import Corrupt, Rejected, Unavailable
from index_service.service import run_router, run_shard
from index_service.settings import IndexSettings

# Python hands the interpreter over every 5 ms; under ingest a search waited that long several times (measured: the
# slowest of a hundred searches took 4.5 ms, and 0.8 ms with this).
_SWITCH_INTERVAL_S = 0.0002

# The form in which the node's processes log: all of them may share one stream.
_LOG_FORMAT = "%(asctime)s %(levelname)-7s index: %(message)s"

_logger = logging.getLogger("index_service")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until told to stop; return the exit status."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format=_LOG_FORMAT, datefmt="%Y-%m-%dT%H:%M:%SZ", stream=sys.stderr)
    logging.Formatter.converter = time.gmtime
    if options.parent_pid is not None:
        end_with_parent(options.parent_pid)
    sys.setswitchinterval(_SWITCH_INTERVAL_S)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        _run(options, stop)
    except (Rejected, ValidationError) as error:
        return _ended(error, ExitStatus.REJECTED)
    except Corrupt as error:
        return _ended(error, ExitStatus.CORRUPT)
    except Unavailable as error:
        return _ended(error, ExitStatus.UNAVAILABLE)
    return 0


def _run(options: argparse.Namespace, stop: threading.Event) -> None:
    settings = IndexSettings.model_validate_json(options.config_json)
    if options.role == "shard":
        run_shard(settings, options.number, options.listen or settings.shard_address(options.number), stop)
    else:
        run_router(settings, stop)


def _ended(error: Exception, status: ExitStatus) -> int:
    _logger.error("%s: %s", type(error).__name__, error)
    return status


def _parser() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--config-json", default="{}", help="settings as JSON, see index_service/settings.py")
    common.add_argument(
        "--parent-pid", type=int, help="parent to end with, however it ends; its starting thread has to last"
    )
    parser = argparse.ArgumentParser(prog="python -m index_service", description="The sharded vector index.")
    roles = parser.add_subparsers(dest="role", required=True)
    roles.add_parser("router", parents=[common], help="the whole index: the router, and its shards as children")
    shard = roles.add_parser("shard", parents=[common], help="one shard")
    shard.add_argument("number", type=int, help="number of the shard, from 0")
    shard.add_argument("--listen", help="address to listen on; default: the one in the settings")
    return parser


if __name__ == "__main__":
    sys.exit(main())
