"""The one part that pyproject.toml cannot declare: C that speeds decoding up, left out where no compiler is found."""

from setuptools import Extension, setup

setup(
    ext_modules=[
        Extension(
            "paring.maths._compiled",
            ["src/paring/maths/compiled.c"],
            extra_compile_args=["-std=gnu11", "-O3", "-Wno-psabi"],
            optional=True,
        )
    ]
)
