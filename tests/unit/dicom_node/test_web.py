"""The HTTP edge over a real catalog and index: what each route answers, and what it refuses."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from dicom_node.errors import Corrupt, Unavailable
from dicom_node.settings import HttpSettings
from dicom_node.web.app import NodeParts, create_app
from dicom_node.web.server import HttpServer
from tests.filled import Filled, filled
from tests.servers import free_port

XSS = "<script>alert(1)</script>"


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Filled]:
    with filled(tmp_path / "data", similarity={"wait_for_example_s": 0}) as node:
        yield node


Check = Callable[[], object]


@contextmanager
def serving(node: Filled, port: int = 0, **checks: Check) -> Iterator[httpx.Client]:
    """Serve the node's parts as `serve` does; give a client."""
    app = create_app(NodeParts(node.settings, node.catalog, node.index, node.similarity, checks))
    server = HttpServer(HttpSettings(port=port), app)
    server.start()
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{server.bound_port}") as client:
            yield client
    finally:
        server.stop()


@pytest.fixture
def client(node: Filled) -> Iterator[httpx.Client]:
    with serving(node) as client:
        yield client


def raising(error: Exception) -> Check:
    def check() -> None:
        raise error

    return check


# Health


def test_the_process_is_alive_whatever_else_is_not(node: Filled) -> None:
    with serving(node, index=raising(Unavailable("away"))) as client:
        assert client.get("/healthz").json() == {"status": "ok"}
        assert client.head("/healthz").status_code == 200


def test_ready_when_every_check_passes(node: Filled) -> None:
    with serving(node, catalog=node.catalog.check, broker=lambda: None) as client:
        answer = client.get("/readyz")
    assert (answer.status_code, answer.json()) == (200, {"ready": True, "checks": {"catalog": "ok", "broker": "ok"}})


def test_what_is_not_ready_is_named(node: Filled) -> None:
    checks = {"workers": raising(Unavailable("no worker is alive")), "index": raising(Corrupt("damaged"))}
    with serving(node, catalog=node.catalog.check, **checks) as client:
        answer = client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["checks"] == {"catalog": "ok", "workers": "no worker is alive", "index": "damaged"}
    assert answer.json()["ready"] is False


# Status


def test_status_counts_by_state(node: Filled, client: httpx.Client) -> None:
    node.add("1.1", (1, 0, 0, 0))
    node.store("1.2")
    node.catalog.settle({}, {node.store("1.3"): "nothing to embed"})
    status = client.get("/api/status").json()
    assert status["instances"] == {
        "stored": 3,
        "pending": 1,
        "embedded": 1,
        "rejected": 1,
        "failed": 0,
        "other_versions": 0,
    }
    assert (status["studies"], status["series"]) == (3, 3)
    assert status["throughput"] == {"stored_last_minute": 3, "embedded_last_minute": 1}
    assert status["queues"] == {"stat": 0, "routine": 1, "backfill": 0}
    assert 0 <= status["oldest_pending_s"] < 60
    (shard,) = status["index"]["shards"]
    assert (shard["shard"], shard["available"], shard["groups"], shard["vectors"]) == (0, True, 1, 1)


# Similarity


def add_studies(node: Filled) -> None:
    """Four studies: 1.1, near it 1.2 (cosine 0.8) and 1.3 (0.6), and 1.4 of the patient of 1.1 (0.96)."""
    node.add("1.1", (1, 0, 0, 0), PatientID="P1", AccessionNumber="A1")
    node.add("1.2", (0.8, 0.6, 0, 0), PatientID="P2", AccessionNumber="A2", StudyDescription="Thorax")
    node.add("1.3", (0.6, 0, 0.8, 0), PatientID="P3", AccessionNumber="SAME")
    node.add("1.4", (0.96, 0, 0, 0.28), PatientID="P1", AccessionNumber="SAME")


@pytest.fixture
def alike(node: Filled) -> Filled:
    """A node of the four studies, for a test that adds to it."""
    add_studies(node)
    return node


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A client of a node of the four studies, for tests that only ask."""
    with filled(tmp_path_factory.mktemp("web") / "data") as node, serving(node) as client:
        add_studies(node)
        yield client


def ranking(client: httpx.Client, query: str) -> list[tuple[int, str, float]]:
    answer = client.get(f"/api/studies/{query}")
    assert answer.status_code == 200, answer.text
    matches = answer.json()["matches"]
    return [(match["rank"], match["study_instance_uid"], match["score"]) for match in matches]


def test_similar_studies_are_ranked_without_the_examples_patient(asked: httpx.Client) -> None:
    assert ranking(asked, "1.1/similar") == [(1, "1.2", 0.8), (2, "1.3", 0.6)]


def test_a_match_says_what_it_is(asked: httpx.Client) -> None:
    answer = asked.get("/api/studies/1.1/similar?k=1").json()
    (match,) = answer["matches"]
    assert match.pop("matched")["series_instance_uid"] == "1.2.1"
    assert match == {
        "rank": 1,
        "score": 0.8,
        "study_instance_uid": "1.2",
        "accession_number": "A2",
        "patient_id": "P2",
        "study_date": "20240131",
        "modalities": ["CT"],
        "study_description": "Thorax",
    }
    assert answer["example"]["study_instance_uid"] == "1.1"
    assert (answer["space"], answer["partial"], answer["studies_searched"]) == ("space", False, 2)
    assert len(answer["query_id"]) == 16


def test_the_same_patient_is_included_on_request(asked: httpx.Client) -> None:
    assert ranking(asked, "1.1/similar?same_patient=only") == [(1, "1.4", 0.96)]
    included = ranking(asked, "1.1/similar?same_patient=INCLUDE")
    assert [study for _, study, _ in included] == ["1.4", "1.2", "1.3"]


@pytest.mark.parametrize(
    ("query", "status", "problem"),
    [
        ("1.9/similar", 404, "example-unknown"),
        ("1.1/similar?space=other", 404, "space-unknown"),
        ("not-a-uid/similar", 400, "rejected"),
        ("1.1/similar?k=0", 400, "rejected"),
        ("1.1/similar?k=101", 400, "rejected"),
        ("1.1/similar?k=many", 400, "rejected"),
        ("1.1/similar?same_patient=perhaps", 400, "rejected"),
    ],
)
def test_a_wrong_question_is_a_problem_with_its_own_type(
    asked: httpx.Client, query: str, status: int, problem: str
) -> None:
    answer = asked.get(f"/api/studies/{query}")
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["type"] == f"urn:dicom-node:problem:{problem}"
    assert answer.json()["status"] == status
    assert "perhaps" not in answer.text


def test_an_example_that_is_not_indexed_yet_may_be_asked_again(alike: Filled, client: httpx.Client) -> None:
    alike.store("1.5")
    answer = client.get("/api/studies/1.5/similar")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert answer.json()["type"] == "urn:dicom-node:problem:example-not-indexed"


def test_an_example_with_nothing_to_embed_is_unprocessable(alike: Filled, client: httpx.Client) -> None:
    alike.catalog.settle({}, {alike.store("1.5"): "no pixel data"})
    answer = client.get("/api/studies/1.5/similar")
    assert answer.status_code == 422
    assert answer.json()["detail"] == "the example has no vector: no pixel data"


def test_an_index_that_is_away_is_said(alike: Filled, client: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: object) -> None:
        raise Unavailable("the index does not answer")

    monkeypatch.setattr(alike.index, "search", away, raising=True)
    answer = client.get("/api/studies/1.1/similar")
    assert (answer.status_code, answer.json()["detail"]) == (503, "the index does not answer")


def test_an_unknown_address_is_a_problem_too(asked: httpx.Client) -> None:
    answer = asked.get("/api/nothing")
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")


# Metrics


def test_own_metrics_are_served_in_the_text_format(asked: httpx.Client) -> None:
    answer = asked.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=")
    assert "# TYPE dicom_node_store_seconds histogram" in answer.text


def test_metrics_of_other_processes_are_relayed(tmp_path: Path) -> None:
    port = free_port()
    with filled(tmp_path / "data", metrics={"worker_port": port}) as node, serving(node) as client:
        away = client.get("/metrics/worker")
        assert (away.status_code, away.json()["detail"]) == (503, "the process does not answer")
        with serving(node, port):
            assert "dicom_node_store_seconds" in client.get("/metrics/worker").text


@pytest.mark.parametrize("process", ["dispatch", "index", "nonsense"])
def test_a_process_without_a_metrics_port_is_not_found(asked: httpx.Client, process: str) -> None:
    assert asked.get(f"/metrics/{process}").status_code == 404


# Pages


def test_the_status_page_shows_the_counts(node: Filled, client: httpx.Client) -> None:
    node.add("1.1", (1, 0, 0, 0))
    page = client.get("/")
    assert page.status_code == 200
    assert '<dd data-field="instances.embedded">1</dd>' in page.text


def test_the_page_lists_similar_studies_by_accession_number(asked: httpx.Client) -> None:
    page = asked.get("/similar?q=A1&k=5").text
    assert page.index('title="What is similar to this one?">1.1<') < page.index(">1.2<") < page.index(">1.3<")
    assert "0.800" in page


def test_an_accession_number_of_several_studies_offers_a_choice(asked: httpx.Client) -> None:
    page = asked.get("/similar?q=SAME").text
    assert "choose one" in page
    assert "/similar?q=1.3&amp;k=8" in page
    assert "/similar?q=1.4&amp;k=8" in page


@pytest.mark.parametrize(("query", "status"), [("q=nothing", 404), ("q=1.1&k=0", 400), ("q=1.1&k=٣", 400)])
def test_the_page_says_what_is_wrong(asked: httpx.Client, query: str, status: int) -> None:
    page = asked.get(f"/similar?{query}")
    assert page.status_code == status
    assert 'role="alert"' in page.text


def test_an_empty_question_shows_the_form(asked: httpx.Client) -> None:
    assert asked.get("/similar?q=").status_code == 200


def test_nothing_of_a_data_set_becomes_markup(alike: Filled, client: httpx.Client) -> None:
    hostile = {"PatientName": XSS, "PatientID": XSS, "StudyDescription": XSS, "AccessionNumber": "<img src=x>"}
    alike.add("1.6", (0.9, 0, 0, 0.1), **hostile)
    alike.add("1.7", (0.9, 0, 0, 0.2), AccessionNumber="<img src=x>")
    for query in ("q=1.1", "q=1.6", "q=<img src=x>", f"q={XSS}", 'q="><script>'):
        page = client.get(f"/similar?{query}").text
        assert "<script>" not in page
        assert "<img src=x" not in page


def test_pages_load_nothing_from_elsewhere(asked: httpx.Client) -> None:
    for path in ("/", "/similar?q=1.1", "/static/status.js", "/static/style.css"):
        text = asked.get(path).text
        assert "//" not in text.replace("http://www.w3.org", "").replace("// Keeps the status page current", "")


# Guards


def test_every_answer_carries_the_security_headers(asked: httpx.Client) -> None:
    for path in ("/", "/api/status", "/metrics", "/static/style.css", "/nothing"):
        headers = asked.get(path).headers
        assert headers["content-security-policy"].startswith("default-src 'none'; script-src 'self'; style-src 'self'")
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost:8080", 200),
        ("127.0.0.1", 200),
        ("[::1]:8080", 200),
        ("evil.example", 400),
        ("127.0.0.1.evil.example", 400),
    ],
)
def test_on_loopback_only_this_machines_names_are_answered(asked: httpx.Client, host: str, status: int) -> None:
    assert asked.get("/api/status", headers={"host": host}).status_code == status


def test_elsewhere_any_name_is_answered(tmp_path: Path) -> None:
    with filled(tmp_path / "data", http={"host": "0.0.0.0"}) as node, serving(node) as client:
        assert client.get("/healthz", headers={"host": "node.hospital.example"}).status_code == 200


def test_a_large_body_is_refused(asked: httpx.Client) -> None:
    assert asked.request("GET", "/healthz", content=b"x" * 65_537).status_code == 413
    assert asked.request("GET", "/healthz", content=iter([b"x"])).status_code == 413
    assert asked.request("GET", "/healthz", content=b"x").status_code == 200


# The server


def test_a_stopped_server_is_gone(node: Filled) -> None:
    with serving(node) as client:
        url = client.base_url
    with pytest.raises(httpx.ConnectError):
        httpx.get(url)


def test_a_port_in_use_is_said(client: httpx.Client, node: Filled) -> None:
    port = client.base_url.port
    with (
        pytest.raises(Unavailable, match=f"HTTP cannot listen on port {port}: Address already in use"),
        serving(node, port or 0),
    ):
        pass
