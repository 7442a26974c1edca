# The kit on a GPU server (driver 580 or later, NVIDIA Container Toolkit). Not built yet: no Docker where it was written.
#
#     docker build --tag vtkit .
#     docker run --rm --gpus all --shm-size 8g --volume vtkit-runs:/vtkit/runs \
#         --volume vtkit-hub:/home/ubuntu/.cache/huggingface vtkit --profile gpu24
#
# torch's wheels bring CUDA's libraries along; this base adds the check of the driver, and Python 3.12.
FROM nvidia/cuda:13.0.2-base-ubuntu24.04

# Triton compiles its launchers with gcc and Python's headers when they are first used.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends gcc libc6-dev python3-dev python3-venv \
    && rm -rf /var/lib/apt/lists/* \
    && install --directory --owner=ubuntu --group=ubuntu /vtkit /vtkit/runs /vtkit/data /vtkit/lab \
    && install --directory --owner=ubuntu --group=ubuntu /home/ubuntu/.cache /home/ubuntu/.cache/huggingface

USER ubuntu
WORKDIR /vtkit
ENV VIRTUAL_ENV=/home/ubuntu/venv \
    PATH=/home/ubuntu/venv/bin:$PATH \
    PIP_NO_CACHE_DIR=1

# What decides the versions comes first: a change of code alone installs nothing again.
COPY --chown=ubuntu:ubuntu pyproject.toml requirements.lock README.md LICENSE run_all.sh ./
COPY --chown=ubuntu:ubuntu vtkit/__init__.py vtkit/
RUN python3 -m venv "$VIRTUAL_ENV" \
    && ./run_all.sh setup \
    && pip install --constraint requirements.lock --editable ".[gpu]"
COPY --chown=ubuntu:ubuntu . .

# JupyterLab instead: docker run --publish 127.0.0.1:8888:8888 … vtkit lab --no-browser --ip 0.0.0.0
ENTRYPOINT ["./run_all.sh"]
