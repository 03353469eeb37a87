"""The chart under `helm` and Kubernetes: their judgement, its rendering, and its refusals."""

import json
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest

from tests.support.environments import environment
from tools.helm.chart import (
    CHART,
    CLUSTER,
    FILES,
    RELEASE,
    ROOT,
    SETS,
    Document,
    Refused,
    helm,
    manifest,
    only,
    pods,
    rendered,
    settings_of,
    values_of,
)
from tools.helm.snapshots import COMMON, DOCS, FOLDER, LABEL, rules, snapshot

CLUSTERS = ("1.30", "1.31", "1.32", "1.33", "1.34", "1.35", "1.36", "1.37")
CONFIG_OFF = ("--set", "config.existingConfigMap=theirs")


def held_against(text: str) -> dict[str, list[str]]:
    """Return the faults by the schemas of Kubernetes, in all versions."""
    python = environment(".venv-helm") / "bin" / "python"
    script = str(ROOT / "tools" / "helm" / "kubernetes.py")
    done = subprocess.run(
        [str(python), script, ",".join(CLUSTERS)], input=text, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    faults: dict[str, list[str]] = json.loads(done.stdout)
    return faults


def gateway(documents: list[Document]) -> Document:
    """Return the one container of the Deployment."""
    (one,) = only(documents, "Deployment")["spec"]["template"]["spec"]["containers"]
    container: Document = one
    return container


@pytest.mark.parametrize("name", SETS)
def test_helm_lint_passes(name: str) -> None:
    assert "0 chart(s) failed" in helm(
        "lint", "--strict", "--kube-version", CLUSTER, str(CHART), "--values", str(values_of(name))
    )


@pytest.mark.parametrize("name", SETS)
def test_the_rendering_is_valid_in_kubernetes(name: str) -> None:
    faults = held_against(manifest(name))
    assert faults["problems"] == []
    assert {"apps/v1/Deployment", "networking.k8s.io/v1/NetworkPolicy"} <= set(faults["checked"])


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("readinessProbe:", "readynessProbe:"),
        ("maxUnavailable: 0", "maxUnavailable: {}"),
        ("backendRequest:", "backend:"),
        ("kind: HTTPRoute", "kind: HTTPRoot"),
        ("interval: 30s", "interval: often"),
        ("- alert: GatewayDown", "- alarm: GatewayDown"),
    ],
)
def test_an_invalid_field_is_found(right: str, wrong: str) -> None:
    text = manifest("everything")
    assert right in text
    assert held_against(text.replace(right, wrong))["problems"]


@pytest.mark.parametrize("name", SETS)
def test_the_rendering_equals_the_approved_snapshot(name: str) -> None:
    assert snapshot(name) == (FOLDER / f"{name}.yaml").read_text(), "read what changed, then `make chart-files`"


def test_the_value_sets_render_every_kind() -> None:
    kinds = {document["kind"] for name in SETS for document in rendered(name)}
    assert kinds == {
        "ConfigMap",
        "Deployment",
        "HTTPRoute",
        "HorizontalPodAutoscaler",
        "Ingress",
        "Job",
        "NetworkPolicy",
        "PodDisruptionBudget",
        "PrometheusRule",
        "Service",
        "ServiceAccount",
        "ServiceMonitor",
    }


@pytest.mark.parametrize("name", SETS)
def test_every_object_has_the_common_labels(name: str) -> None:
    for document in rendered(name):
        assert document["metadata"]["labels"].keys() >= COMMON
        assert document["metadata"]["labels"]["app.kubernetes.io/instance"] == RELEASE


@pytest.mark.parametrize("name", SETS)
def test_pods_meet_the_restricted_profile(name: str) -> None:
    """Source: https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted"""
    for pod in pods(rendered(name)):
        spec = pod["spec"]
        assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys()
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["runAsUser"] > 0
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert spec["automountServiceAccountToken"] is False
        assert all({"configMap", "emptyDir", "projected", "secret"} & volume.keys() for volume in spec["volumes"])
        for container in spec["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert all("hostPort" not in port for port in container.get("ports", []))


@pytest.mark.parametrize("name", SETS)
def test_only_tmp_can_be_written_to(name: str) -> None:
    for pod in pods(rendered(name)):
        for container in pod["spec"]["containers"]:
            writable = [mount["mountPath"] for mount in container["volumeMounts"] if not mount.get("readOnly")]
            assert writable == ["/tmp"]  # noqa: S108 (a pod's own)


@pytest.mark.parametrize("name", SETS)
def test_the_rendering_has_no_secret(name: str) -> None:
    documents = rendered(name)
    assert all(item["kind"] != "Secret" for item in documents)
    variables = {item["name"]: item for item in gateway(documents)["env"]}
    for needed in {"REDIS_URL", "DATABASE_URL"} & variables.keys():
        assert variables[needed]["valueFrom"]["secretKeyRef"].get("optional") is None


def test_a_secret_file_is_mounted_under_the_name_in_its_variable() -> None:
    pod = only(rendered("everything"), "Deployment")["spec"]["template"]["spec"]
    container = pod["containers"][0]
    variables = {variable["name"]: variable.get("value") for variable in container["env"]}
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    (volume,) = [volume for volume in pod["volumes"] if "projected" in volume]
    files = {
        f"{mounts[volume['name']]}/{item['path']}": (source["secret"]["name"], item["key"])
        for source in volume["projected"]["sources"]
        for item in source["secret"]["items"]
    }
    assert files[variables["REDIS_URL_FILE"]] == ("stores", "money")
    assert files[variables["ACME_API_KEY_FILE"]] == ("gateway", "ACME_API_KEY")
    assert len(files) == 2
    assert not {"REDIS_URL", "ACME_API_KEY"} & variables.keys()


@pytest.mark.parametrize(
    ("name", "seconds"),
    [("minimal", 5 + 5 + 310 + 300), ("everything", 10 + 3 + 90 + 120)],
)
def test_the_grace_period_covers_the_calls_of_a_replica(name: str, seconds: int) -> None:
    assert only(rendered(name), "Deployment")["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] == seconds


def test_with_external_settings_the_grace_period_is_a_value() -> None:
    options = (*CONFIG_OFF, "--set", "shutdown.terminationGracePeriodSeconds=900")
    documents = rendered("production", *options)
    spec = only(documents, "Deployment")["spec"]["template"]
    assert spec["spec"]["terminationGracePeriodSeconds"] == 900
    assert spec["spec"]["volumes"][0] == {"name": "config", "configMap": {"name": "theirs"}}
    assert not any(key.startswith("checksum/") for key in spec["metadata"]["annotations"])
    assert {document["metadata"]["name"] for document in documents if document["kind"] == "ConfigMap"} == {
        f"igw-image-gateway-{dashboard}" for dashboard in ("cost", "overview", "team", "upstreams")
    }


def test_timeouts_of_proxies_exceed_those_of_vendors() -> None:
    notes = only(rendered("production"), "Ingress")["metadata"]["annotations"]
    assert notes["nginx.ingress.kubernetes.io/proxy-read-timeout"] == "360"
    assert notes["nginx.ingress.kubernetes.io/proxy-body-size"] == "800m"
    assert notes["nginx.ingress.kubernetes.io/proxy-next-upstream"] == "off"
    documents = rendered("everything")
    assert only(documents, "HTTPRoute")["spec"]["rules"][0]["timeouts"] == {"request": "180s", "backendRequest": "180s"}
    assert "timeout_seconds=180" in str(only(documents, "Ingress")["metadata"]["annotations"])
    haproxy = only(rendered("production", "--set", "ingress.controller=haproxy"), "Ingress")["metadata"]["annotations"]
    assert haproxy == {"haproxy.org/timeout-server": "360s"}


@pytest.mark.parametrize("name", ["production", "everything"])
def test_neither_admin_nor_metrics_are_behind_the_ingress(name: str) -> None:
    documents = rendered(name)
    routes = [rule["http"]["paths"] for rule in only(documents, "Ingress")["spec"]["rules"]]
    assert {path["path"] for paths in routes for path in paths} <= {"/v1", "/openai", "/docs", "/openapi.yaml"}
    behind = [path["backend"]["service"] for paths in routes for path in paths]
    assert all(document == {"name": "igw-image-gateway", "port": {"name": "http"}} for document in behind)
    for route in (document for document in documents if document["kind"] == "HTTPRoute"):
        (rule,) = route["spec"]["rules"]
        assert rule["backendRefs"] == [{"name": "igw-image-gateway", "port": 8080}]
    services = {
        document["metadata"]["name"]: document["spec"] for document in documents if document["kind"] == "Service"
    }
    assert {name: [port["targetPort"] for port in spec["ports"]] for name, spec in services.items()} == {
        "igw-image-gateway": ["http"],
        "igw-image-gateway-admin": ["admin"],
        "igw-image-gateway-metrics": ["metrics"],
    }
    assert services["igw-image-gateway-admin"]["type"] == "ClusterIP"


@pytest.mark.parametrize(("name", "port"), [("minimal", 8081), ("everything", 9000)])
def test_admin_has_a_port_of_its_own(name: str, port: int) -> None:
    documents = rendered(name)
    container = gateway(documents)
    assert {"name": "ADMIN_PORT", "value": str(port)} in container["env"]
    numbers = {item["name"]: item["containerPort"] for item in container["ports"]}
    assert numbers["admin"] == only(documents, "Service", "-admin")["spec"]["ports"][0]["port"] == port
    assert len(set(numbers.values())) == 3
    probes = (container[f"{item}Probe"]["httpGet"]["port"] for item in ("startup", "readiness", "liveness"))
    assert set(probes) == {"http"}


def test_the_admin_port_is_open_to_named_operators_only() -> None:
    def reached(name: str) -> dict[str, object]:
        rules = only(rendered(name), "NetworkPolicy")["spec"]["ingress"]
        return {rule["ports"][0]["port"]: rule.get("from") for rule in rules}

    assert reached("minimal").keys() == {"http", "metrics"}
    platform = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "platform"}}}
    assert reached("everything")["admin"] == [platform]


def test_a_gateway_reaches_names_stores_and_what_is_public() -> None:
    policy = only(rendered("production"), "NetworkPolicy")["spec"]
    dns, redis, database, public = policy["egress"]
    assert {port["port"] for port in dns["ports"]} == {53}
    assert (redis["ports"], database["ports"]) == (
        [{"port": 6379, "protocol": "TCP"}],
        [{"port": 5432, "protocol": "TCP"}],
    )
    assert all(rule["to"] for rule in (dns, redis, database))
    assert "169.254.0.0/16" in public["to"][0]["ipBlock"]["except"]
    assert all(peer["ipBlock"]["except"] for peer in public["to"])


def test_the_autoscaler_uses_cpu_and_images_in_flight() -> None:
    metrics = only(rendered("production"), "HorizontalPodAutoscaler")["spec"]["metrics"]
    assert metrics[0]["resource"]["name"] == "cpu"
    assert metrics[1]["pods"]["metric"]["name"] == "gateway_images_in_flight"
    assert "replicas" not in only(rendered("production"), "Deployment")["spec"]
    assert only(rendered("everything"), "Deployment")["spec"]["replicas"] == 4


def test_prometheus_gets_the_shipped_rules() -> None:
    assert only(rendered("everything"), "PrometheusRule")["spec"] == rules(LABEL)


def test_the_chart_renders_links_to_runbooks() -> None:
    spec = only(rendered("production"), "PrometheusRule")["spec"]
    alerts = [rule for group in spec["groups"] for rule in group["rules"] if "alert" in rule]
    assert {rule["annotations"]["runbook_url"] for rule in alerts} == {
        f"{DOCS}docs/operations.md#{rule['alert'].lower()}" for rule in alerts
    }
    assert spec == rules(DOCS)


def test_a_packed_chart_has_the_files_and_an_equal_rendering(tmp_path: Path) -> None:
    helm("package", str(CHART), "--destination", str(tmp_path))
    (pack,) = tmp_path.glob("*.tgz")
    with tarfile.open(pack) as packed:
        assert all(member.isfile() for member in packed.getmembers())
        packed.extractall(tmp_path, filter="data")
    for name, source in FILES.items():
        copy = tmp_path / "image-gateway" / "files" / name
        for path in [source] if source.is_file() else source.iterdir():
            assert (copy if source.is_file() else copy / path.name).read_bytes() == path.read_bytes()
    assert manifest("everything", chart=pack) == manifest("everything")


def test_the_notes_say_what_to_do_next(tmp_path: Path) -> None:
    shutil.copytree(CHART, tmp_path / "chart")
    shown = 'kind: Notes\nmetadata: {name: n}\ntext: {{ include (print .Template.BasePath "/NOTES.txt") . | toJson }}\n'
    (tmp_path / "chart" / "templates" / "shown.yaml").write_text(shown)
    notes = only(rendered("everything", chart=tmp_path / "chart"), "Notes")["text"]
    assert "create secret generic gateway" in notes
    assert "http://pictures.example.com/v1" in notes
    assert "port-forward service/igw-image-gateway-admin 9000" in notes
    assert "WARNING: serving.drain_seconds (90) is shorter than a call may take (120)" in notes


@pytest.mark.parametrize(
    ("option", "word"),
    [
        ("config.teams=", "no team"),
        ("config.teams=teams: [", "config.teams: is no YAML"),
        ("config.gateway=a: b: c", "config.gateway: is no YAML"),
        ("replica=3", "replica"),
        ("secrets.variables.REDIS_URL.optional=true", "optional"),
        ("secrets.variables.DATABASE_URL=null", "DATABASE_URL"),
        ("secrets.variables.ADMIN_API_KEY.file=true", "ADMIN_API_KEY"),  # it is optional, and a file cannot be
        ("env.OPENAI_API_KEY=x", "OPENAI_API_KEY"),
        ("env.DATABASE_URL=x", "DATABASE_URL"),
        ("env.METRICS_PORT=1", "METRICS_PORT"),
        ("env.ADMIN_PORT=1", "ADMIN_PORT"),
        ("env.ADMIN_HOST=x", "ADMIN_HOST"),
        ("ingress.enabled=true", "hosts"),
        ("httpRoute.enabled=true", "parentRefs"),
        ("ingress.controller=apache", "controller"),
        ("image.digest=latest", "digest"),
        ("metrics.port=70000", "port"),
        ("metrics.port=8080", "have to differ"),
        ("admin.port=70000", "port"),
        ("admin.port=8080", "have to differ"),
        ("admin.port=9464", "have to differ"),
    ],
)
def test_invalid_values_are_refused_by_name(option: str, word: str) -> None:
    with pytest.raises(Refused, match=word):
        rendered("minimal", "--set", option.replace("[", r"\[") if option.startswith("config") else option)


def test_settings_are_rendered_unchanged(tmp_path: Path) -> None:
    text = "teams:\n  söarch:   # <&> {{ not a template }}\n    keys: []\n\n\n"
    (tmp_path / "teams.yaml").write_text(text)
    assert settings_of(rendered("minimal", "--set-file", f"config.teams={tmp_path}/teams.yaml"))["teams.yaml"] == text


def test_only_settings_that_need_a_restart_replace_pods() -> None:
    def replicas(*options: str) -> Any:
        return only(rendered("minimal", *options), "Deployment")["spec"]["template"]

    other = "teams:\n  other: {keys: []}"
    assert replicas("--set", f"config.teams={other.replace(',', ' ')}") == replicas()
    assert replicas("--set", "config.models=models: {}") != replicas("--set", "config.gateway=tags: []")
    assert replicas("--set", "config.gateway=tags: []") != replicas()
