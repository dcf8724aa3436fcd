.PHONY: dev links lint type test lock

dev: links
	pip install --no-deps -r requirements-dev.txt -e .

# pyright can't follow an editable install's import hook; it follows these
links:
	mkdir -p .dev/vocable
	for folder in codecs quantizers losses recipes benchmarks; do \
		ln -sfn ../../$$folder .dev/vocable/$$folder; \
	done

lint:
	ruff check
	ruff format --check

type: links
	pyright

test:
	pytest

# what torch itself pulls in for one platform; pip picks these again for the platform at hand
TORCH_OWN = cuda-bindings cuda-pathfinder cuda-toolkit triton \
	nvidia-cublas nvidia-cuda-cupti nvidia-cuda-nvrtc nvidia-cuda-runtime nvidia-cudnn-cu13 nvidia-cufft \
	nvidia-cufile nvidia-curand nvidia-cusolver nvidia-cusparse nvidia-cusparselt-cu13 nvidia-nccl-cu13 \
	nvidia-nvjitlink nvidia-nvshmem-cu13 nvidia-nvtx

LOCK = uv pip compile --quiet --python-version 3.11 --no-emit-index-url --no-emit-find-links \
	--custom-compile-command "make lock"

# moshi pins half of its world, so it is left out of the resolution; the dev file is installed with --no-deps
lock:
	$(LOCK) $(TORCH_OWN:%=--no-emit-package %) --upgrade-package torch==2.13.0 \
		pyproject.toml -o requirements.txt
	sed -i '/^moshi==/d' requirements-dev.txt
	$(LOCK) --override requirements-overrides.txt requirements-dev.in -o requirements-dev.txt
	echo moshi==0.2.13 >> requirements-dev.txt
