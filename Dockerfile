# Motherlode in a container: two targets, each for the CPU or the GPU.
#
#   docker build --target serving  -t motherlode-serving  .
#   docker build --target training -t motherlode-training .
#   docker build --target serving  -t motherlode-serving:gpu --build-arg DEVICE=gpu .
#
# Build arguments:
#   DEVICE                cpu or gpu. gpu takes NVIDIA's CUDA runtime as the base and ONNX Runtime's, and in
#                         training RAPIDS', CUDA builds. Run it with `--gpus all`; the driver must know CUDA 13.
#   PYTHON_IMAGE          the Python that is run, in both.
#   GPU_IMAGE             the base of DEVICE=gpu.
#   PIP_EXTRA_INDEX_URL   a further package index. PyPI's PyTorch brings CUDA along; a training image for the CPU
#                         is some 3 GB smaller with the index of PyTorch's CPU builds.
#
# Versions are those of constraints.txt, whichever target and device.

ARG DEVICE=cpu
ARG PYTHON_IMAGE=python:3.11-slim-bookworm
ARG GPU_IMAGE=nvidia/cuda:13.0.2-cudnn-runtime-ubuntu24.04

FROM ${PYTHON_IMAGE} AS python

# --- The base: Python 3.11, and on the GPU the libraries of CUDA 13 and cuDNN 9 ------------------------------
FROM python AS base-cpu

FROM ${GPU_IMAGE} AS base-gpu
# Ubuntu 24.04 has no Python 3.11. The Python image's own is built on an older C library, so it runs here; what
# it links to beyond that library is installed beside it.
COPY --from=python /usr/local /usr/local
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install --yes --no-install-recommends \
      ca-certificates libbz2-1.0 libexpat1 libffi8 liblzma5 libncursesw6 libreadline8t64 libsqlite3-0 libssl3t64 \
      libuuid1 tzdata zlib1g \
 && rm -rf /var/lib/apt/lists/* \
 && ldconfig

# hadolint ignore=DL3006
FROM base-${DEVICE} AS base
ENV PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PATH=/opt/motherlode/bin:$PATH \
    MOTHERLODE_HOME=/var/lib/motherlode
# The state lies in a volume; nothing in the image is written to. The number is fixed, so that a volume's
# files keep their owner from one image to the next.
RUN useradd --uid 10001 --create-home --shell /usr/sbin/nologin motherlode \
 && install --directory --owner=motherlode --group=motherlode /var/lib/motherlode
WORKDIR /var/lib/motherlode

# --- What both targets are installed from: the wheel, and the lock -------------------------------------------
# Made where pip and its cache may leave what they like; the targets take over one folder.
FROM base AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_CONSTRAINT=/src/constraints.txt
WORKDIR /src
RUN python3.11 -m venv /opt/motherlode
COPY constraints.txt pyproject.toml README.md ./
COPY motherlode motherlode
COPY feature_repo feature_repo
COPY serving serving
COPY training training
COPY examples examples
COPY infra/serve infra/serve

FROM build AS build-serving
ARG DEVICE
# An image of one device: `motherlode serve` on the GPU needs ONNX Runtime's CUDA build and nothing of RAPIDS.
RUN case "$DEVICE" in \
      cpu) /opt/motherlode/bin/pip install '.[cpu]' ;; \
      gpu) /opt/motherlode/bin/pip install . onnxruntime-gpu ;; \
      *) echo "DEVICE is '$DEVICE'; use cpu or gpu." >&2; exit 1 ;; \
    esac

FROM build AS build-training
ARG DEVICE
ARG PIP_EXTRA_INDEX_URL
RUN /opt/motherlode/bin/pip install ".[${DEVICE},warehouse,train,demo]"

# --- training: everything but serving's traffic. `docker run … motherlode train` ------------------------------
FROM base AS training
COPY --from=build-training /opt/motherlode /opt/motherlode
USER 10001
VOLUME /var/lib/motherlode
ENTRYPOINT ["motherlode"]
CMD ["--help"]

# --- serving: no PyTorch, no scikit-learn, no Feast -------------------------------------------------------------
FROM base AS serving
COPY --from=build-serving /opt/motherlode /opt/motherlode
ENV MOTHERLODE_HOST=0.0.0.0 \
    MOTHERLODE_PORT=8000
USER 10001
VOLUME /var/lib/motherlode
EXPOSE 8000
# Ready, not merely alive: a replica without a bundle answers /healthz already. The first start loads Ray.
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s --retries=3 \
  CMD ["python3.11", "-c", "import os, urllib.request as r; r.urlopen('http://127.0.0.1:' + os.environ['MOTHERLODE_PORT'] + '/readyz', timeout=2)"]
# SIGTERM drains: requests in flight are answered before it ends.
STOPSIGNAL SIGTERM
ENTRYPOINT ["motherlode"]
CMD ["serve"]
