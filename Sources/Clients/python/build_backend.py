"""A build backend (PEP 517) for one module without dependencies: a wheel is a zip file with its own list of contents."""

import base64
import hashlib
import os
import re
import tarfile
import zipfile

_HERE = os.path.dirname(os.path.abspath(__file__))
_FILES = ["holdfast/__init__.py", "holdfast/py.typed"]
_SOURCES = _FILES + ["pyproject.toml", "build_backend.py", "README.md", "example.py"]


def _read(name):
    with open(os.path.join(_HERE, name), "rb") as file:
        return file.read()


def _project(key):
    return re.search(rf'^{key} = "(.*)"$', _read("pyproject.toml").decode(), re.MULTILINE).group(1)


def _metadata():
    return (
        f"Metadata-Version: 2.1\nName: {_project('name')}\nVersion: {_project('version')}\n"
        f"Summary: {_project('description')}\nRequires-Python: {_project('requires-python')}\n"
        "Classifier: Typing :: Typed\nClassifier: Operating System :: POSIX :: Linux\n"
    ).encode()


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    stem = f"{_project('name')}-{_project('version')}"
    info = f"{stem}.dist-info"
    contents = {name: _read(name) for name in _FILES}
    contents[f"{info}/METADATA"] = _metadata()
    contents[f"{info}/WHEEL"] = b"Wheel-Version: 1.0\nGenerator: holdfast\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    record = ""
    for name, data in contents.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        record += f"{name},sha256={digest},{len(data)}\n"
    contents[f"{info}/RECORD"] = (record + f"{info}/RECORD,,\n").encode()
    wheel = f"{stem}-py3-none-any.whl"
    with zipfile.ZipFile(os.path.join(wheel_directory, wheel), "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in contents.items():
            archive.writestr(name, data)
    return wheel


def build_sdist(sdist_directory, config_settings=None):
    stem = f"{_project('name')}-{_project('version')}"
    with tarfile.open(os.path.join(sdist_directory, f"{stem}.tar.gz"), "w:gz") as archive:
        for name in _SOURCES:
            archive.add(os.path.join(_HERE, name), f"{stem}/{name}")
    return f"{stem}.tar.gz"
