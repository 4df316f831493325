"""The one part that pyproject.toml cannot declare: C that speeds CPUs up, left out where no compiler is found."""

from hashlib import sha256
from pathlib import Path

from setuptools import Extension, setup

SOURCE = Path("src/paring/maths/compiled.c")

setup(
    ext_modules=[
        Extension(
            "paring.maths._compiled",
            [str(SOURCE)],
            # By it a library that was built from another version of the source is known.
            define_macros=[("SOURCE", f'"{sha256(SOURCE.read_bytes()).hexdigest()}"')],
            extra_compile_args=["-std=gnu11", "-O3", "-Wno-psabi"],
            optional=True,
        )
    ]
)
