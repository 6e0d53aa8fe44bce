"""The README names commands, addresses and files that are there."""

import re
from pathlib import Path

import typer.main

from dicom_node.cli import app
from dicom_node.web import health, monitoring, similar
from dicom_node.web.pages import routes

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def test_every_command_is_there_and_named() -> None:
    table = README[README.index("## Commands") : README.index("## Over HTTP")]
    rows = [re.split(r"(?<!\\)\|", line)[1] for line in table.splitlines() if line.startswith("| `dicom-node")]
    named = {name for row in rows for name in re.findall(r"`(?:dicom-node )?([a-z]+)", row)}
    group = typer.main.get_command(app)
    assert isinstance(group, typer.core.TyperGroup)
    context = typer.Context(group)
    assert named - {"show", "check"} == set(group.list_commands(context)) - {"version"}


def test_every_address_is_there_and_named() -> None:
    routers = (health, monitoring, similar, routes)
    paths = {route.path for module in routers for route in module.router.routes}  # type: ignore[attr-defined]
    table = README[README.index("## Over HTTP") : README.index("## Configure")]
    named = set(re.findall(r"[` ](/[a-z/{}]*)", table)) - {"/metrics/dispatch", "/metrics/worker", "/metrics/index"}
    assert named == paths - {"/similar", "/metrics/{process}"}


def test_every_link_leads_somewhere() -> None:
    links = [link for link in re.findall(r"\]\(([^)]+)\)", README) if not link.startswith("http")]
    assert len(links) >= 8
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_every_make_target_is_there() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"make ([a-z]+)", README)) - targets == set()
