# Two commands: docker build -t paring . && docker run --rm -v "$PWD/runs:/home/runs" paring train quickstart
FROM python:3.11-slim
WORKDIR /package
COPY pyproject.toml setup.py constraints.txt MANIFEST.in README.md LICENSE ./
COPY src src
# The wheel of torch for CPUs; another index, such as .../whl/cu128, gives one for GPUs.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
RUN pip install --no-cache-dir --constraint constraints.txt --extra-index-url ${TORCH_INDEX} torch \
    && pip install --no-cache-dir --constraint constraints.txt .
WORKDIR /home
ENTRYPOINT ["paring"]
CMD ["train", "quickstart"]
