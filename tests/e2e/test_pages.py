"""The pages in a real browser: they look as meant, refresh themselves, and run no script but ours."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import imagecodecs
import pytest

from dicom_node.settings import HttpSettings
from dicom_node.web.app import NodeParts, create_app
from dicom_node.web.server import HttpServer
from tests.filled import filled
from tests.servers import require

ACCENT = (0x1F, 0x6F, 0x9F)
HOSTILE = "<script>document.title='taken'</script>"
OPTIONS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--enable-logging=stderr",
    "--window-size=1280,900",
    "--virtual-time-budget=3000",
)


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of an HTTP edge over three embedded studies and a pending one."""
    with filled(tmp_path_factory.mktemp("pages") / "data") as node:
        node.add("1.1", (1, 0, 0, 0), PatientID="P1", AccessionNumber="A1")
        node.add("1.2", (0.8, 0.6, 0, 0), PatientID="P2", StudyDescription=HOSTILE, PatientName=HOSTILE)
        node.add("1.3", (0.6, 0, 0.8, 0), PatientID="P3")
        node.store("1.4")
        parts = NodeParts(node.settings, node.catalog, node.index, node.similarity, {})
        server = HttpServer(HttpSettings(port=0), create_app(parts))
        server.start()
        yield f"http://127.0.0.1:{server.bound_port}"
        server.stop()


def browse(url: str, profile: Path, *options: str) -> str:
    """Load a page in a fresh profile, check that the browser refused nothing on it, and return what it printed."""
    command = [require("chromium"), *OPTIONS, f"--user-data-dir={profile}", *options, url]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr
    assert "CONSOLE" not in result.stderr, result.stderr
    return result.stdout


def test_the_status_page_refreshes_itself(url: str, tmp_path: Path) -> None:
    page = browse(url, tmp_path, "--dump-dom")
    assert '<dd data-field="instances.embedded">3</dd>' in page
    # Rows the script has made have no white space between their cells; the template's have.
    assert '<tr><td>0</td><td>available</td><td class="number">3</td><td class="number">3</td>' in page
    assert '<p id="notice" class="notice" hidden="">' in page


def test_nothing_received_runs_as_a_script(url: str, tmp_path: Path) -> None:
    page = browse(f"{url}/similar?q=A1", tmp_path, "--dump-dom")
    assert "<title>Similar studies · dicom-node</title>" in page
    assert "<td>&lt;script&gt;document.title='taken'&lt;/script&gt;</td>" in page


@pytest.mark.parametrize("path", ["/", "/similar?q=A1", "/similar?q=nothing"])
def test_the_style_is_applied(url: str, tmp_path: Path, path: str) -> None:
    picture = tmp_path / "page.png"
    browse(f"{url}{path}", tmp_path / "profile", f"--screenshot={picture}")
    pixels = imagecodecs.png_decode(picture.read_bytes())[:, :, :3]
    assert pixels.shape == (900, 1280, 3)
    assert (pixels == ACCENT).all(axis=2).sum() > 1000  # the button
