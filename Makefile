# make demo: set up, make the demo data, train, draw every figure   (a few minutes)
# make test: set up, lint, run every test with coverage
PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
DEMO := demo
RUN = cd $(DEMO) && ../$(PY) ..
CHECKPOINT := checkpoints/fakes_dataset_SimpleNet_Adam.pt
COVERAGE := --cov --cov-report=term --cov-report=json:.coverage.json

.PHONY: help setup demo test lint quick bench clean

help:
	@sed -n 's/^# //p' Makefile

# Installed again only when a requirements file changes.
$(VENV)/installed: requirements.txt requirements-dev.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { echo "Python 3.10 or newer is needed (make PYTHON=python3.12 ...)" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@

setup: $(VENV)/installed

demo: setup
	@mkdir -p $(DEMO)
	$(RUN)/make_demo_datasets.py
	$(RUN)/plot_samples_of_faces_dataset.py
	$(RUN)/train_main.py -d fakes_dataset -m SimpleNet -lr 0.001 -b 32 -e 5 -o Adam
	$(RUN)/plot_accuracy_and_loss.py -m SimpleNet -j out/fakes_dataset_SimpleNet_Adam.json -d fakes_dataset
	$(RUN)/numerical_analysis.py -m SimpleNet -cpp $(CHECKPOINT) -d fakes_dataset
	$(RUN)/saliency_map.py -m SimpleNet -cpp $(CHECKPOINT) -d fakes_dataset
	$(RUN)/grad_cam_analysis.py -m SimpleNet -cpp $(CHECKPOINT) -d fakes_dataset
	$(RUN)/predict.py -cpp $(CHECKPOINT) $$(ls datasets/fakes_dataset/test/*/*.jpg | sed -n '1p;$$p')
	@echo; echo "Done. Open these:"; ls $(DEMO)/figures/*.png

lint: setup
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) tests/check_house.py

test: lint
	$(PY) -m pytest $(COVERAGE)
	$(PY) tests/check_coverage.py .coverage.json

quick: setup
	$(PY) -m pytest -m "not slow"

bench: setup
	$(PY) benchmarks/speed.py

clean:
	rm -rf $(DEMO) .pytest_cache .ruff_cache .coverage .coverage.json
