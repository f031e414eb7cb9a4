"""Adds the program and the extension for this Python to the wheel.

cargo builds both, unless HOSTLER_PREBUILT names a directory that has them.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

PROGRAM, EXTENSION = "hostler", "libhostler_python.so"


class Programs(BuildHookInterface):
    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if not sys.platform.startswith("linux"):
            raise RuntimeError(f"hostler is for Linux; this is {sys.platform}")
        if sysconfig.get_config_var("Py_GIL_DISABLED"):
            raise RuntimeError("hostler does not support Python without the GIL yet: use a CPython with it")
        built = Path(os.environ.get("HOSTLER_PREBUILT") or self.build())
        python = f"cp{sys.version_info.major}{sys.version_info.minor}"
        platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
        extension = f"hostler/_hostler{sysconfig.get_config_var('EXT_SUFFIX')}"
        build_data["pure_python"] = False
        build_data["tag"] = f"{python}-{python}-{platform}"
        build_data["shared_scripts"][str(built / PROGRAM)] = PROGRAM
        build_data["force_include"][str(built / EXTENSION)] = extension

    def build(self) -> Path:
        """Builds both; returns the directory in which they are."""
        cargo = shutil.which("cargo")
        if cargo is None:
            raise RuntimeError(
                "hostler has no wheel for this Python and platform, and there is no cargo to build it: "
                "install Rust (https://rustup.rs) and a C compiler"
            )
        target = Path(os.environ.get("CARGO_TARGET_DIR") or Path(self.root, "target"))
        command = [cargo, "build", "--release", "--locked", "--target-dir", str(target)]
        packages = ["--package", "hostler-cli", "--package", "hostler-python"]
        variables = {"PYO3_PYTHON": sys.executable, "CARGO_PROFILE_RELEASE_STRIP": "debuginfo"}
        subprocess.run(command + packages, cwd=self.root, env={**os.environ, **variables}, check=True)
        return target / "release"
