## make setup    install what the suite uses into .venv
## make demo     set up, draw faces, train, measure, explain, report; names the figures
## make test     set up, lint, run every test with coverage
## make quick    the tests without the slow ones
## make lint     the code's form, and that every import points down
## make bench    how fast is it? (about two hours)
## make clean    remove what demo and tests have written
PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
DEMO := demo
RUN = cd $(DEMO) && ../$(PY) ..
CHECKPOINT := checkpoints/fakes_dataset_SimpleNet_Adam.pt
CORES := --numprocesses auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder
COVERAGE := --cov --cov-report=term --cov-report=json:.coverage.json

.PHONY: help setup demo test quick lint bench clean

help:
	@sed -n 's/^## //p' Makefile

# Installed again only when a requirements file changes.
$(VENV)/installed: $(wildcard requirements*.txt)
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { echo "Python 3.10 or newer is needed (make PYTHON=python3.12 ...)" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)
	@echo "installing PyTorch and the rest into $(VENV): up to 3 GB to download"
	$(PY) -m pip install --disable-pip-version-check -r requirements-dev.txt
	@touch $@

setup: $(VENV)/installed

demo: setup
	@mkdir -p $(DEMO)
	$(RUN)/make_demo_datasets.py --data-root first --images-per-class 20
	$(RUN)/plot_samples_of_faces_dataset.py --data-root first
	@echo; echo "The first figure: $(DEMO)/figures/datasets_samples.png"
	@echo "Now 3,720 more faces are drawn and a detector is trained: some minutes."; echo
	$(RUN)/make_demo_datasets.py
	$(RUN)/train_main.py -d fakes_dataset -m SimpleNet -lr 0.001 -b 32 -e 5 -o Adam
	$(RUN)/plot_accuracy_and_loss.py -m SimpleNet -j out/fakes_dataset_SimpleNet_Adam.json -d fakes_dataset
	$(RUN)/numerical_analysis.py -m SimpleNet -cpp $(CHECKPOINT) -d fakes_dataset
	$(RUN)/saliency_map.py -m SimpleNet -cpp $(CHECKPOINT) -d fakes_dataset
	$(RUN)/grad_cam_analysis.py -m SimpleNet -cpp $(CHECKPOINT) -d fakes_dataset
	$(RUN)/predict.py -cpp $(CHECKPOINT) $$(ls datasets/fakes_dataset/test/*/*.jpg | sed -n '1p;$$p')
	$(RUN)/report.py -cpp $(CHECKPOINT)
	@echo; echo "Done. This detector knows drawn faces, and nothing of photos. Open these:"; ls $(DEMO)/figures/*.png $(DEMO)/figures/*.html

# A thread for each worker: more of them only wait for one another.
test: lint
	OMP_NUM_THREADS=1 $(PY) -m pytest $(CORES) $(COVERAGE)
	$(PY) tests/check_coverage.py .coverage.json

quick: setup
	OMP_NUM_THREADS=1 $(PY) -m pytest $(CORES) -m "not slow"

lint: setup
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) tests/check_house.py

bench: setup
	$(PY) benchmarks/speed.py

clean:
	rm -rf $(DEMO) exercise .pytest_cache .ruff_cache .coverage .coverage.json
