"""Every option of the node, with its default. Read once, where the processes are built, and passed down.

Order, the later wins: the defaults here < the YAML file (`--config`) < the environment (`DICOM_NODE__DICOM__PORT=104`)
< the command line. Unknown keys are errors. `configs/dicom-node.yaml` documents each option; a test holds it to this.
"""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    YamlConfigSettingsSource,
)

from dicom_node.broker import embedded_url
from dicom_node.errors import Rejected
from index_service.settings import IndexSettings

AETitle = Annotated[str, Field(min_length=1, max_length=16, pattern=r"^[\x21-\x5b\x5d-\x7e][\x20-\x5b\x5d-\x7e]*$")]
Port = Annotated[int, Field(ge=0, le=65535)]
Positive = Annotated[int, Field(gt=0)]
Seconds = Annotated[float, Field(gt=0)]


class Section(BaseModel):
    """A group of options; unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class DicomSettings(Section):
    """The DIMSE edge."""

    host: str = "0.0.0.0"  # noqa: S104 - scanners call from other hosts
    port: Port = 11112
    ae_title: AETitle = "DICOMNODE"
    similar_ae_title: AETitle = "SIMILAR"
    maximum_associations: Positive = 128
    maximum_pdu_bytes: Annotated[int, Field(ge=4096, le=1 << 20)] = 131_072
    acse_timeout_s: Seconds = 15.0
    dimse_timeout_s: Seconds = 60.0
    network_timeout_s: Seconds = 60.0
    maximum_rows: Positive = 5000


class SimilaritySettings(Section):
    """The similarity query. `space` names the vector space to search; empty means the only one there is."""

    space: str = ""
    default_rows: Annotated[int, Field(ge=1, le=100)] = 9
    maximum_rows: Annotated[int, Field(ge=1, le=100)] = 100
    wait_for_example_s: Annotated[float, Field(ge=0, le=5)] = 5.0
    same_patient: Literal["INCLUDE", "EXCLUDE"] = "EXCLUDE"


class RetrieveSettings(Section):
    """C-MOVE and C-GET. What one conversion to an uncompressed transfer syntax may take."""

    conversion_timeout_s: Seconds = 30.0
    conversion_memory_bytes: Positive = 1 << 30


class PeerSettings(Section):
    """Another DICOM system that we may call: a destination of C-MOVE."""

    ae_title: AETitle
    host: Annotated[str, Field(min_length=1)]
    port: Annotated[int, Field(ge=1, le=65535)]
    description: str = ""


def _distinct(peers: tuple[PeerSettings, ...]) -> tuple[PeerSettings, ...]:
    titles = [peer.ae_title.strip() for peer in peers]
    if len(set(titles)) < len(titles):
        raise ValueError("two peers have the same AE title")
    return peers


class HttpSettings(Section):
    """The HTTP edge: health, status, metrics, similarity for scripts, the status page."""

    host: str = "127.0.0.1"
    port: Port = 8080


class CatalogSettings(Section):
    """The catalog's database. An empty URL means SQLite in the data folder."""

    url: str = ""


class ArchiveSettings(Section):
    """The received files. Refuse to store with A700 when less than `reserve_bytes` is free."""

    reserve_bytes: Annotated[int, Field(ge=0)] = 256 << 20
    header_limit_bytes: Positive = 64 << 20


class BrokerSettings(Section):
    """The Celery broker. An empty URL means a broker of our own, a child process on a socket in the data folder."""

    url: str = ""


class DispatchSettings(Section):
    """From the outbox to the workers."""

    batch_size: Annotated[int, Field(ge=1, le=64)] = 32
    high_water_messages: Positive = 8
    lease_s: Seconds = 120.0
    maximum_attempts: Positive = 5
    poll_interval_s: Seconds = 0.25
    retry_delay_s: Seconds = 5.0


class WorkerSettings(Section):
    """From stored instances to vectors."""

    embedder: str = "descriptor"
    nice: Annotated[int, Field(ge=0, le=19)] = 10
    device: Literal["auto", "cpu", "cuda"] = "auto"
    torch_threads: Positive = 1
    decode_timeout_s: Seconds = 10.0
    decode_memory_bytes: Positive = 1 << 30
    frames_per_instance: Annotated[int, Field(ge=1, le=32)] = 32


class MetricsSettings(Section):
    """Where processes without an HTTP edge of their own serve /metrics; 0 means nowhere.

    Under `dicom-node up` the ports are chosen by the supervisor and the edge relays them as /metrics/<process>.
    """

    host: str = "127.0.0.1"
    dispatch_port: Port = 0
    worker_port: Port = 0


class Settings(BaseSettings):
    """All options of one node."""

    model_config = SettingsConfigDict(
        env_prefix="DICOM_NODE__", env_nested_delimiter="__", extra="forbid", frozen=True, validate_default=True
    )

    data_dir: Path = Path("data")
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    dicom: DicomSettings = DicomSettings()
    peers: Annotated[tuple[PeerSettings, ...], AfterValidator(_distinct)] = ()
    retrieve: RetrieveSettings = RetrieveSettings()
    similarity: SimilaritySettings = SimilaritySettings()
    http: HttpSettings = HttpSettings()
    catalog: CatalogSettings = CatalogSettings()
    archive: ArchiveSettings = ArchiveSettings()
    broker: BrokerSettings = BrokerSettings()
    dispatch: DispatchSettings = DispatchSettings()
    worker: WorkerSettings = WorkerSettings()
    index: IndexSettings = IndexSettings()
    metrics: MetricsSettings = MetricsSettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - pydantic's signature
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read the command line, then the environment, then the YAML file: the first to name an option wins."""
        return init_settings, env_settings, YamlConfigSettingsSource(settings_cls)

    @property
    def run_dir(self) -> Path:
        """Sockets, the lock and the snapshot of the settings of the node that runs on this data folder."""
        return self.data_dir / "run"

    @property
    def broker_socket(self) -> Path:
        """The embedded broker's socket, beside the index's: a folder whose path is short enough for a socket."""
        return self.index.run_dir / "broker.sock"

    @property
    def broker_url(self) -> str:
        """The Celery broker URL."""
        return self.broker.url or embedded_url(self.broker_socket)

    @property
    def archive_dir(self) -> Path:
        """The received files."""
        return self.data_dir / "archive"

    @property
    def catalog_url(self) -> str:
        """The SQLAlchemy URL of the catalog."""
        return self.catalog.url or f"sqlite:///{self.data_dir.absolute()}/catalog.sqlite"


def load(config: Path | None = None, **overrides: Any) -> Settings:
    """Read the settings from all sources; `overrides` are those of the command line.

    Raises Rejected with one line per wrong or unknown option.
    """
    if config is not None and not config.is_file():
        raise Rejected(f"no configuration file at {config}")

    class FromFile(Settings):
        model_config = SettingsConfigDict(yaml_file=config)

    try:
        return Settings.model_construct(**_fields(FromFile(**overrides)))
    except ValidationError as error:
        lines = (f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise Rejected("configuration: " + "; ".join(lines)) from error


def _fields(settings: Settings) -> dict[str, Any]:
    values = {name: getattr(settings, name) for name in Settings.model_fields}
    if "data_dir" not in settings.index.model_fields_set:
        values["index"] = settings.index.model_copy(update={"data_dir": settings.data_dir / "index"})
    return values
