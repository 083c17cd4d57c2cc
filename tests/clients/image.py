#!/usr/bin/env python3
"""Writes an image as an OCI layout. Its layers are random, so no other image shares them.

    image.py FOLDER LAYERS BYTES         BYTES: the size of each layer
"""

import gzip
import hashlib
import io
import json
import os
import sys
import tarfile

MEDIA = "application/vnd.oci.image"


def keep(folder, data):
    digest = hashlib.sha256(data).hexdigest()
    with open(f"{folder}/blobs/sha256/{digest}", "wb") as file:
        file.write(data)
    return {"digest": f"sha256:{digest}", "size": len(data)}


def tar(number, size):
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        info = tarfile.TarInfo(f"layer-{number}")
        info.size = size
        archive.addfile(info, io.BytesIO(os.urandom(size)))
    return packed.getvalue()


def main():
    folder, layers, size = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    os.makedirs(f"{folder}/blobs/sha256")
    plain = [tar(number, size) for number in range(layers)]
    kept = [{"mediaType": f"{MEDIA}.layer.v1.tar+gzip", **keep(folder, gzip.compress(data, 1))} for data in plain]
    config = {"architecture": "amd64", "os": "linux", "config": {"Cmd": ["/layer-0"]}, "rootfs": {
        "type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(data).hexdigest()}" for data in plain]}}
    manifest = {"schemaVersion": 2, "mediaType": f"{MEDIA}.manifest.v1+json", "layers": kept,
                "config": {"mediaType": f"{MEDIA}.config.v1+json", **keep(folder, json.dumps(config).encode())}}
    entry = {"mediaType": manifest["mediaType"], **keep(folder, json.dumps(manifest).encode()),
             "annotations": {"org.opencontainers.image.ref.name": "one"}}
    for name, content in (("index.json", {"schemaVersion": 2, "manifests": [entry]}),
                          ("oci-layout", {"imageLayoutVersion": "1.0.0"})):
        with open(f"{folder}/{name}", "w", encoding="utf-8") as file:
            json.dump(content, file)


if __name__ == "__main__":
    main()
