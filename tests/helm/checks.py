"""Checks the rendered chart: the objects against the schemas of Kubernetes, the references between them, and the gate's
configuration with `countersign check`.

Usage: checks.py PROGRAM FOLDER VERSION...; FOLDER contains the renderings, SET.VERSION.yaml.
"""

import functools
import json
import re
import subprocess
import sys
from pathlib import Path

import yaml
from kubernetes_validate import utils

TOP = Path(__file__).resolve().parents[2]
CHART = TOP / "deploy/helm/countersign"
CONFIG = "/etc/countersign"
# Objects of operators: kubernetes-validate has no schemas for them, and `operator_object` checks their form.
OPERATORS = {"ServiceMonitor", "PrometheusRule", "HTTPRoute"}
HTPASSWD = "node:$2y$05$c4WoMPo3SXsafkva.HHa6uXQZWr7oboPiC2bT/r7q1BB8I2s0BRqC\n"

# The library reads the same large files again for each object.
utils.schema_contents = functools.lru_cache(maxsize=None)(utils.schema_contents)


def expect(condition, message):
    if not condition:
        sys.exit(f"FAILED: {message}")


def secrets(folder):
    """The Secrets and ConfigMaps that the value sets expect in the cluster: name, then key and path of the file."""
    folder.mkdir()
    key, certificate = folder / "tls.key", folder / "tls.crt"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-keyout", key, "-out", certificate, "-days", "30", "-subj", "/CN=gate.example.com"]
    command += ["-addext", "subjectAltName=DNS:gate.example.com"]
    subprocess.run(command, check=True, capture_output=True)
    (folder / "htpasswd").write_text(HTPASSWD)
    (folder / "password").write_text("secret\n")
    return {
        "gate-tls": {"tls.crt": certificate, "tls.key": key, "clients.crt": certificate},
        "gate-clients": {"htpasswd": folder / "htpasswd"},
        "gate-credentials": {"password": folder / "password"},
        "notation-trust": {"root.crt": TOP / "tests/data/notation/root.crt"},
    }


def with_schema(documents, version, where):
    """Every object has exactly the fields that this version of Kubernetes knows."""
    for document in documents:
        if document["kind"] in OPERATORS:
            operator_object(document, where)
            continue
        try:
            found = utils.validate(document, version, strict=True)
        except utils.ValidationError as error:
            path = ".".join(map(str, error.path))
            expect(False, f"{where}: {document['kind']}: {path}: {error.message}")
        except utils.SchemaNotFoundError as error:
            expect(False, f"{where}: {error.message}")
        expect(found == version, f"{where}: the schemas are of {found}")


def operator_object(document, where):
    kind, spec = document["kind"], document["spec"]
    if kind == "ServiceMonitor":
        expect(set(spec) == {"selector", "endpoints"}, f"{where}: ServiceMonitor: {spec}")
        jobs = [r for r in spec["endpoints"][0]["relabelings"] if r["targetLabel"] == "job"]
        expect(jobs[0]["replacement"] == "countersign", f"{where}: the alert rules expect the job countersign")
    elif kind == "PrometheusRule":
        rules = yaml.safe_load((TOP / "deploy/monitoring/rules.yml").read_text())
        expect(spec == rules, f"{where}: the alert rules differ from deploy/monitoring/rules.yml")
    else:
        expect(set(spec) <= {"parentRefs", "hostnames", "rules"}, f"{where}: HTTPRoute: {spec}")


def one(documents, kind, end=""):
    found = [d for d in documents if d["kind"] == kind and d["metadata"]["name"].endswith(end)]
    found = [d for d in found if "helm.sh/hook" not in d["metadata"].get("annotations", {})]
    expect(len(found) >= 1, f"no {kind} {end}")
    return found[0]


def references(documents, where):
    """Names, labels and ports in one object exist in the object that it refers to."""
    gate = one(documents, "StatefulSet")
    pod = gate["spec"]["template"]
    labels = pod["metadata"]["labels"].items()
    ports = {port["name"]: port["containerPort"] for port in pod["spec"]["containers"][0]["ports"]}
    services = {d["metadata"]["name"]: d for d in documents if d["kind"] == "Service"}
    expect(gate["spec"]["serviceName"] in services, f"{where}: no Service {gate['spec']['serviceName']}")
    for service in services.values():
        expect(service["spec"]["selector"].items() <= labels, f"{where}: a Service selects no pod of the gate")
        for port in service["spec"]["ports"]:
            expect(port["targetPort"] in ports, f"{where}: no port {port['targetPort']}")
    public = [s for s in services.values() if s["spec"].get("clusterIP") != "None"]
    for service in public:
        names = [port["name"] for port in service["spec"]["ports"]]
        expect("admin" not in names, f"{where}: the admin listener is public")
    for document in documents:
        kind, spec = document["kind"], document.get("spec", {})
        if kind == "NetworkPolicy":
            expect(spec["podSelector"]["matchLabels"].items() <= labels, f"{where}: NetworkPolicy selects no gate")
            allowed = [(rule["ports"], rule.get("from")) for rule in spec["ingress"]]
            for listed, peers in allowed:
                for port in listed:
                    expect(port["port"] in ports.values(), f"{where}: NetworkPolicy: {port}")
                    expect(port["port"] != ports["admin"] or peers, f"{where}: everyone reaches the admin port")
        elif kind == "PodDisruptionBudget":
            expect(spec["selector"]["matchLabels"].items() <= labels, f"{where}: PodDisruptionBudget selects no gate")
        elif kind == "ServiceMonitor":
            admin = services[gate["spec"]["serviceName"]]
            expect(spec["selector"]["matchLabels"].items() <= admin["metadata"]["labels"].items(), f"{where}: ServiceMonitor")
            expect(spec["endpoints"][0]["port"] == admin["spec"]["ports"][0]["name"], f"{where}: ServiceMonitor port")
        elif kind == "HTTPRoute":
            backend = spec["rules"][0]["backendRefs"][0]
            known = [port["port"] for port in services[backend["name"]]["spec"]["ports"]]
            expect(backend["port"] in known, f"{where}: HTTPRoute: no port {backend['port']}")
        elif kind == "Ingress":
            backend = spec["rules"][0]["http"]["paths"][0]["backend"]["service"]
            known = [port["name"] for port in services[backend["name"]]["spec"]["ports"]]
            expect(backend["port"]["name"] in known, f"{where}: Ingress: no port {backend['port']}")
        elif kind == "ConfigMap" and "countersign.json" in document["data"]:
            dashboard = json.loads((TOP / "deploy/monitoring/grafana/dashboards/countersign.json").read_text())
            expect(json.loads(document["data"]["countersign.json"]) == dashboard, f"{where}: the dashboard differs")


def hardened(documents, where):
    """No container can write to its image, gain privileges, or use a token of the cluster."""
    for document in documents:
        spec = document.get("spec", {})
        pod = spec if document["kind"] == "Pod" else spec.get("template", {}).get("spec")
        if not pod:
            continue
        expect(pod["automountServiceAccountToken"] is False, f"{where}: {document['kind']} mounts a token")
        own = [c for c in pod["containers"] + pod.get("initContainers", []) if c["name"] != "prepare"]
        for container in own:
            context = container["securityContext"]
            expect(context["readOnlyRootFilesystem"] is True, f"{where}: {container['name']} can write")
            expect(context["allowPrivilegeEscalation"] is False, f"{where}: {container['name']} can gain privileges")
            expect(context["capabilities"] == {"drop": ["ALL"]}, f"{where}: {container['name']} has capabilities")
            if document["kind"] != "DaemonSet":
                expect(pod["securityContext"]["runAsNonRoot"] is True, f"{where}: {container['name']} may be root")
        volumes = [volume["name"] for volume in pod.get("volumes", [])]
        claims = [claim["metadata"]["name"] for claim in spec.get("volumeClaimTemplates", [])]
        for mount in [m for c in own for m in c.get("volumeMounts", [])]:
            expect(mount["name"] in volumes + claims, f"{where}: no volume {mount['name']}")


def nodes(documents, program, where):
    """The commands of the DaemonSet exist with these options, and uninstalling runs the removal under the same name."""
    sets = [d for d in documents if d["kind"] == "DaemonSet"]
    if not sets:
        return 0
    expect(len(sets) == 2, f"{where}: {len(sets)} DaemonSets")
    hook = [d for d in sets if d["metadata"].get("annotations", {}).get("helm.sh/hook") == "post-delete"]
    expect(len(hook) == 1, f"{where}: no DaemonSet removes the files")
    expect(sets[0]["metadata"]["name"] == sets[1]["metadata"]["name"], f"{where}: the names differ")
    removal = [c["args"] for c in hook[0]["spec"]["template"]["spec"]["initContainers"]]
    expect(len(removal) == 1 and "--remove=/host" in removal[0], f"{where}: {removal}")
    for document in sets:
        pod = document["spec"]["template"]["spec"]
        for container in pod["initContainers"] + pod["containers"]:
            command = container["args"][0]
            known = subprocess.run([program, command, "--help"], capture_output=True, text=True)
            expect(known.returncode == 0, f"{where}: {program} has no command {command}: {known.stderr}")
            for option in [a for a in container["args"] if a.startswith("--")]:
                option = option.split("=")[0]
                expect(re.search(rf"{option}\b", known.stdout), f"{where}: {command} has no {option}")
    return 1


def gate_folder(documents, known, folder):
    """Builds the files that the gate's container sees below `folder`, and returns the path of each mount in it."""
    template = one(documents, "StatefulSet")["spec"]["template"]["spec"]
    maps = {d["metadata"]["name"]: d["data"] for d in documents if d["kind"] == "ConfigMap"}
    volumes = {volume["name"]: volume for volume in template["volumes"]}
    mounts = {}
    for mount in template["containers"][0]["volumeMounts"]:
        at = folder / mount["mountPath"].lstrip("/")
        at.mkdir(parents=True, exist_ok=True)
        mounts[mount["mountPath"]] = at
        volume = volumes.get(mount["name"], {})
        sources = volume["projected"]["sources"] if "projected" in volume else [volume]
        for source in [s for s in sources if "secret" in s or "configMap" in s]:
            named = source.get("secret") or source["configMap"]
            name = named.get("name") or named.get("secretName")
            content = {key: path.read_text() for key, path in known.get(name, {}).items()} or maps[name]
            items = named.get("items") or [{"key": key, "path": key} for key in content]
            for item in items:
                file = at / item["path"]
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(content[item["key"]])
    return mounts


def checked(documents, known, folder, program, where):
    """`countersign check` accepts the configuration with the files that the pod mounts, and its ports are in the pod."""
    mounts = gate_folder(documents, known, folder)
    file = mounts[CONFIG] / "countersign.toml"
    text = file.read_text()
    paths = "|".join(re.escape(path) for path in sorted(mounts, key=len, reverse=True))
    text = re.sub(rf'(?<=["\':])({paths})(?=[/"])', lambda found: str(mounts[found.group(1)]), text)
    file.write_text(text)
    ran = subprocess.run([program, "check", "--config", file, "--json"], capture_output=True, text=True)
    expect(ran.returncode == 0, f"{where}: countersign check: {ran.stdout}{ran.stderr}")
    unexpected = [w for w in json.loads(ran.stdout)["warnings"] if "admin" not in w and "open files" not in w]
    expect(not unexpected, f"{where}: countersign check warns: {unexpected}")
    ports = one(documents, "StatefulSet")["spec"]["template"]["spec"]["containers"][0]["ports"]
    listening = sorted(int(port) for port in re.findall(r'(?m)^\s*listen = ".*:(\d+)"', text))
    expect(sorted(port["containerPort"] for port in ports) == listening, f"{where}: {ports} and {listening}")


def main():
    program, folder, versions = sys.argv[1], Path(sys.argv[2]), sys.argv[3:]
    version = re.search(r'(?m)^version = "(.*)"', (TOP / "Cargo.toml").read_text()).group(1)
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    expect(chart["appVersion"] == version, f"appVersion of the chart is not {version}, the version in Cargo.toml")
    for copy, original in [("rules.yml", "rules.yml"), ("dashboard.json", "grafana/dashboards/countersign.json")]:
        same = (CHART / "files" / copy).read_bytes() == (TOP / "deploy/monitoring" / original).read_bytes()
        expect(same, f"link deploy/helm/countersign/files/{copy} to deploy/monitoring/{original}")
    known = secrets(folder / "secrets")
    objects, kinds, with_nodes = 0, set(), 0
    sets = sorted({path.name.split(".")[0] for path in folder.glob("*.yaml")})
    for name in sets:
        for kubernetes in versions:
            where = f"{name} for Kubernetes {kubernetes}"
            documents = [d for d in yaml.safe_load_all((folder / f"{name}.{kubernetes}.yaml").read_text()) if d]
            with_schema(documents, kubernetes, where)
            references(documents, where)
            hardened(documents, where)
            objects += len(documents)
            kinds |= {document["kind"] for document in documents}
        with_nodes += nodes(documents, program, name)
        checked(documents, known, folder / "gates" / name, program, name)
    expect(with_nodes >= 2, "no value set has nodes")
    expect(OPERATORS | {"Ingress", "NetworkPolicy", "PodDisruptionBudget", "DaemonSet"} <= kinds, f"only {sorted(kinds)}")
    print(f"{objects} objects of {len(kinds)} kinds")


main()
