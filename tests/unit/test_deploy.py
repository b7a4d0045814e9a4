"""What runs the service, in deploy/, fits it: settings, ports, times, names, rights of the process.

Servers judge the rights that the service has with them, in tests/integration/test_rights.py.
"""

import re
import shutil
import subprocess
from configparser import RawConfigParser
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

import processor
from processor.entrypoints.exits import Exit
from processor.entrypoints.reading import read
from processor.entrypoints.settings import RunSettings

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"


def settings(**environ: str) -> RunSettings:
    needed = {
        "REDIS_URL": "redis://localhost/0",
        "POSTGRES_URL": "postgresql://localhost/rally",
        "DIRECTUS_BASE_URL": "http://localhost",
    }
    return read(RunSettings, needed | environ)


def variables() -> set[str]:
    """Every setting there is, as .env.example has it."""
    example = (ROOT / ".env.example").read_text(encoding="utf-8")
    return set(re.findall(r"^#?([A-Z_]+)=", example, re.MULTILINE))


# --------------------------------------------------------------------------------------- Kubernetes

KUBERNETES = DEPLOY / "kubernetes"
SCHEMA = "1.34"
"""The newest of which every part is stable; the sleep before a stop is there since 1.29."""


def manifests(*names: str) -> list[dict[str, Any]]:
    texts = [(KUBERNETES / name).read_text(encoding="utf-8") for name in names]
    return [document for text in texts for document in yaml.safe_load_all(text)]


KUSTOMIZATION = manifests("kustomization.yaml")[0]
ALL = manifests(*KUSTOMIZATION["resources"], "migrate.yaml")


def one(kind: str, name: str) -> dict[str, Any]:
    (found,) = [each for each in ALL if (each["kind"], each["metadata"]["name"]) == (kind, name)]
    return found


def env_file(path: Path) -> dict[str, str]:
    lines = path.read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


@pytest.mark.parametrize("manifest", ALL, ids=lambda each: each["kind"])
def test_a_manifest_is_as_kubernetes_wants_it(manifest: dict[str, Any]) -> None:
    kubernetes_validate.validate(manifest, SCHEMA, strict=True)


def test_a_manifest_that_is_wrong_is_found() -> None:
    wrong = one("Service", "processor-live") | {"speck": {}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, SCHEMA, strict=True)


def test_nothing_in_the_folder_is_left_out() -> None:
    there = {path.name for path in KUBERNETES.glob("*.yaml")}
    assert there == {*KUSTOMIZATION["resources"], "kustomization.yaml", "migrate.yaml"}


def test_flow_mappings_hold_no_plain_question_mark() -> None:
    """Python's YAML takes one, Kubernetes's does not."""
    for path in KUBERNETES.glob("*.yaml"):
        assert not re.search(r"\{[^\"'}]*\?", path.read_text(encoding="utf-8")), path.name


@pytest.mark.parametrize("role", ["ingest", "live"])
def test_a_pod_has_settings_that_are_in_order_and_fit_its_ports_and_times(role: str) -> None:
    pod = one("Deployment", f"processor-{role}")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["envFrom"] == [{"configMapRef": {"name": "processor-settings"}}]
    environ = env_file(KUBERNETES / "settings.env")
    for variable in container["env"]:
        if variable["name"].endswith("_FILE"):
            mounts = [mount["mountPath"] for mount in container["volumeMounts"]]
            assert str(Path(variable["value"]).parent) in mounts
        else:
            environ[variable["name"]] = variable.get("value", "processor-live-5d9c7b9f8d-x2x4q")
    ours = settings(**environ)
    assert set(environ) <= variables()
    assert ours.process.roles == (role,)
    assert ours.process.migrate is False
    ports = {each["name"]: each["containerPort"] for each in container["ports"]}
    assert ports["metrics"] == ours.process.http_port
    assert ports.get("live", ours.live.port) == ours.live.port
    pause_s = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
    grace_s = pod["terminationGracePeriodSeconds"]
    assert pause_s + ours.process.shutdown_ms / 1000 < grace_s
    for probe, path in (
        ("startupProbe", "/healthz"),
        ("livenessProbe", "/healthz"),
        ("readinessProbe", f"/readyz?role={role}"),
    ):
        assert container[probe]["httpGet"] == {"path": path, "port": "metrics"}


@pytest.mark.parametrize(
    "kind_and_name",
    [
        ("Deployment", "processor-ingest"),
        ("Deployment", "processor-live"),
        ("Job", "processor-migrate"),
    ],
)
def test_a_pod_may_nothing_that_it_does_not_need(kind_and_name: tuple[str, str]) -> None:
    template = one(*kind_and_name)["spec"]["template"]
    pod = template["spec"]
    (container,) = pod["containers"]
    user = re.search(r"^USER (\d+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert user is not None
    assert pod["securityContext"]["runAsUser"] == int(user[1]) > 0
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["automountServiceAccountToken"] is False
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert container["resources"]["limits"]["memory"]


@pytest.mark.parametrize("role", ["ingest", "live"])
def test_what_belongs_together_names_the_same_pods(role: str) -> None:
    name = f"processor-{role}"
    deployment = one("Deployment", name)["spec"]
    labels = deployment["template"]["metadata"]["labels"]
    assert deployment["selector"]["matchLabels"] == labels
    assert one("PodDisruptionBudget", name)["spec"]["selector"]["matchLabels"] == labels
    (spread,) = deployment["template"]["spec"]["topologySpreadConstraints"]
    assert spread["labelSelector"]["matchLabels"] == labels


def test_browsers_find_the_live_pods() -> None:
    service = one("Service", "processor-live")["spec"]
    assert (
        service["selector"]
        == one("Deployment", "processor-live")["spec"]["selector"]["matchLabels"]
    )
    (port,) = service["ports"]
    (rule,) = one("Ingress", "processor-live")["spec"]["rules"]
    (path,) = rule["http"]["paths"]
    assert path["path"] == "/ws-live"
    assert path["backend"] == {
        "service": {"name": "processor-live", "port": {"name": port["name"]}}
    }


def test_the_autoscaler_decides_alone() -> None:
    scaler = one("HorizontalPodAutoscaler", "processor-ingest")["spec"]
    assert scaler["scaleTargetRef"]["name"] == "processor-ingest"
    assert "replicas" not in one("Deployment", "processor-ingest")["spec"]
    assert scaler["minReplicas"] > 1, "one may die"


def test_images_carry_this_version() -> None:
    (image,) = KUSTOMIZATION["images"]
    assert image["newTag"] == processor.__version__
    (container,) = one("Job", "processor-migrate")["spec"]["template"]["spec"]["containers"]
    assert container["image"] == f"{image['newName']}:{image['newTag']}"


# ------------------------------------------------------------------------------------------ systemd

UNIT = DEPLOY / "systemd/processor@.service"


class Repeated(dict[str, Any]):
    """A key that stands there several times has a list of values, as systemd reads it."""

    def __setitem__(self, key: str, value: Any) -> None:
        if isinstance(value, list) and isinstance(self.get(key), list):
            value = self[key] + value
        super().__setitem__(key, value)


@pytest.fixture
def unit() -> RawConfigParser:
    parser = RawConfigParser(
        strict=False, dict_type=Repeated, delimiters=("=",), comment_prefixes=("#",)
    )
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(UNIT.read_text(encoding="utf-8"))
    return parser


def test_the_unit_starts_restarts_and_stops_as_the_service_wants_it(unit: RawConfigParser) -> None:
    service = unit["Service"]
    assert unit.sections() == ["Unit", "Service", "Install"]
    assert service["Type"] == "exec", "nobody tells systemd that it is ready"
    assert service["ExecStart"].split()[1:] == ["run"]
    assert service["Restart"] == "on-failure"
    hopeless = {int(code) for code in service["RestartPreventExitStatus"].split()}
    assert hopeless == {Exit.WRONG_SETUP, 2}
    assert service["KillMode"] == "mixed"
    assert int(service["TimeoutStopSec"]) > settings().process.shutdown_ms / 1000
    assert int(service["LimitNOFILE"]) > 2 * settings().live.connections
    assert unit["Unit"]["StartLimitIntervalSec"] == "0", "it is never given up"


CONFINED = [
    "DynamicUser",
    "NoNewPrivileges",
    "PrivateTmp",
    "PrivateDevices",
    "ProtectHome",
    "ProtectClock",
    "ProtectHostname",
    "ProtectControlGroups",
    "ProtectKernelLogs",
    "ProtectKernelModules",
    "ProtectKernelTunables",
    "LockPersonality",
    "MemoryDenyWriteExecute",
    "RestrictNamespaces",
    "RestrictRealtime",
    "RestrictSUIDSGID",
    "RemoveIPC",
]


def test_the_unit_is_confined(unit: RawConfigParser) -> None:
    service = unit["Service"]
    for directive in CONFINED:
        assert service[directive] == "yes", directive
    assert service["ProtectSystem"] == "strict"
    assert service["CapabilityBoundingSet"] == service["AmbientCapabilities"] == ""
    # Without /proc/stat nobody knows when a process started, and ProcessorRestarts is blind.
    assert "ProcSubset" not in service


def test_its_secrets_are_credentials(unit: RawConfigParser) -> None:
    text = UNIT.read_text(encoding="utf-8")
    loaded = set(re.findall(r"^LoadCredential=(\w+):", text, re.MULTILINE))
    read_from = dict(re.findall(r"^Environment=(\w+)_FILE=%d/(\w+)$", text, re.MULTILINE))
    assert read_from == {"REDIS_URL": "redis_url", "POSTGRES_URL": "postgres_url"}
    assert loaded == set(read_from.values())


@pytest.mark.parametrize("role", ["ingest", "live"])
def test_its_example_settings_are_in_order(role: str) -> None:
    files = [UNIT.parent / "processor.env", UNIT.parent / f"{role}.env"]
    environ = {name: value for file in files for name, value in env_file(file).items()}
    assert settings(**environ).process.roles == (role,)
    assert set(environ) <= variables()


def test_systemd_itself_has_nothing_to_say(tmp_path: Path) -> None:
    """Where it is. What is asked above is asked everywhere."""
    if (analyze := shutil.which("systemd-analyze")) is None:
        return
    true = shutil.which("true")
    text = UNIT.read_text(encoding="utf-8").replace("/opt/processor/bin/processor", str(true))
    unit = tmp_path / "processor@ingest.service"
    unit.write_text(text, encoding="utf-8")
    told = subprocess.run(
        [analyze, "verify", "--man=no", str(unit)], capture_output=True, text=True, check=False
    )
    assert (told.returncode, told.stdout + told.stderr) == (0, "")
