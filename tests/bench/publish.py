"""Makes what is pulled: images of layers that are tar archives of random bytes, at a registry, or blobs in a folder.

publish.py image REGISTRY NAME SIZE...    prints: digest and length of the manifest (tag v1), digests of the layers
publish.py blobs FOLDER NAME SIZE...      prints: digests
"""
import hashlib
import io
import json
import os
import pathlib
import sys
import tarfile
import urllib.request

IMAGE = "application/vnd.oci.image."


def archive(size):
    """A tar archive with one file, `size` bytes in all or a little more."""
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as tar:
        entry = tarfile.TarInfo(os.urandom(8).hex())
        entry.size = max(0, size - 10_240)
        tar.addfile(entry, io.BytesIO(os.urandom(entry.size)))
    return layer.getvalue()


def digest_of(content):
    return "sha256:" + hashlib.sha256(content).hexdigest()


def send(method, url, data=b"", kind="application/octet-stream"):
    request = urllib.request.Request(url, data, {"Content-Type": kind}, method=method)
    with urllib.request.urlopen(request, timeout=120) as answer:
        return answer.headers.get("Location")


def image(registry, name, sizes):
    base = f"{registry}/v2/{name}"

    def push(kind, content):
        digest = digest_of(content)
        at = send("POST", f"{base}/blobs/uploads/")
        send("PUT", f"{at}{'&' if '?' in at else '?'}digest={digest}", content)
        return {"mediaType": IMAGE + kind, "size": len(content), "digest": digest}

    layers = [push("layer.v1.tar", archive(size)) for size in sizes]
    digests = [layer["digest"] for layer in layers]
    config = {"architecture": "amd64", "os": "linux", "config": {}, "rootfs": {"type": "layers", "diff_ids": digests}}
    config = push("config.v1+json", json.dumps(config).encode())
    kind = IMAGE + "manifest.v1+json"
    manifest = {"schemaVersion": 2, "mediaType": kind, "config": config, "layers": layers}
    manifest = json.dumps(manifest).encode()
    send("PUT", f"{base}/manifests/v1", manifest, kind)
    print(digest_of(manifest), len(manifest), *digests)


def blobs(folder, name, sizes):
    at = pathlib.Path(folder, "v2", name, "blobs")
    at.mkdir(parents=True, exist_ok=True)
    for size in sizes:
        content = os.urandom(size)
        digest = digest_of(content)
        (at / digest).write_bytes(content)
        print(digest)


made, where, name, *sizes = sys.argv[1:]
{"image": image, "blobs": blobs}[made](where, name, [int(size) for size in sizes])
