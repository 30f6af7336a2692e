# make demo   sets up, prepares the embedded sample, trains, evaluates, draws: about 4 minutes
# make test   sets up and runs every test; ROOM=nets, ROOM=trainers/training: those of one room
# make quick  sets up and runs the tests that take no minutes, before each commit; ROOM as above
# make cover  sets up, runs every test, and prints which lines of the rooms none has run
# make parity sets up PyTorch's nets, several GB, and compares the logits of ours with theirs
# make lint   sets up and runs the linter, the formatter's check and the type checker
# make bench  sets up and measures speed beside the peers; SOURCE=/path/to/the/tars: on those
# make notebooks  sets up and runs those of docs/notebooks; make docs: the API's pages, docs/api
# make doctor sets up and says what this machine has for training, what it lacks, and what will bind
# make setup  sets up alone
#
# What is installed is pinned by constraints.txt, so that runs repeat to the bit elsewhere;
# CONSTRAINTS= (with nothing) takes the newest that setup.cfg allows.
#
# Each sets up its own .venv on a fresh machine; what is set up already is not set up again.

PYTHON ?= python3.11
VENV := .venv
CONSTRAINTS ?= constraints.txt
BIN := $(VENV)/bin
# The GPU extra where there is an NVIDIA driver that answers.
GPU := $(if $(shell nvidia-smi -L 2>/dev/null),gpu)
DEMO := demo

.PHONY: demo test quick cover parity lint bench doctor notebooks docs setup clean

setup: $(VENV)/.setup
test quick cover lint: $(VENV)/.setup_test
bench: $(VENV)/.setup_bench
parity: $(VENV)/.setup_parity

$(VENV)/.python:
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(0 if (3, 11) <= v < (3, 13) else f"error: Python {v.major}.{v.minor} found, 3.11 or 3.12 wanted: make PYTHON=python3.11")'
	@echo 'making $(VENV), a Python environment of its own'
	@$(PYTHON) -m venv $(VENV)
	@touch $@

# $(call install,EXTRAS): the project, editable, with the extras named, separated by spaces
empty :=
comma := ,
space := $(empty) $(empty)
extras = $(subst $(space),$(comma),$(strip $(GPU) $(1)))
pip = $(BIN)/pip install --quiet --disable-pip-version-check $(if $(CONSTRAINTS),--constraint $(CONSTRAINTS))
install = @echo 'installing $(if $(1),$(1) and )what the workspace needs into $(VENV): minutes, and 3 GB, the first time' \
    && $(pip) --editable '.$(if $(extras),[$(extras)])'

$(VENV)/.setup: $(VENV)/.python setup.cfg $(CONSTRAINTS)
	$(call install,)
	@touch $@
$(VENV)/.setup_test: $(VENV)/.python setup.cfg $(CONSTRAINTS)
	$(call install,test beam dask export notebooks)
	@touch $@ $(VENV)/.setup
$(VENV)/.setup_parity: $(VENV)/.setup_test
	$(call install,parity)
	@touch $@
$(VENV)/.setup_%: $(VENV)/.setup setup.cfg
	$(call install,$*)
	@touch $@
# The peers are several GB, and some exist for some machines only: what is missing is left out.
PEERS := $(shell sed -n '/^bench =/,/^[a-z\[]/s/^    //p' setup.cfg)
$(VENV)/.setup_bench: $(VENV)/.setup setup.cfg
	@for peer in $(foreach peer,$(PEERS),'$(peer)'); do \
	    echo "installing $$peer"; \
	    $(pip) "$$peer" \
	        || echo "could not install $$peer: it is left out"; \
	done
	@touch $@

demo: setup
	$(BIN)/python data_prep/build_tfrecords.py --data_dir=$(DEMO)/data
	$(BIN)/python pipelines/preview.py --flagfile=flags/demo.cfg --data_dir=$(DEMO)/data \
	    --output=$(DEMO)/contact_sheet.png
	$(BIN)/python trainers/train.py --flagfile=flags/demo.cfg --data_dir=$(DEMO)/data \
	    --runs_dir=$(DEMO)/runs
	$(BIN)/python trainers/evaluate.py --run=$(DEMO)/runs/demo
	$(BIN)/python trainers/train.py --flagfile=flags/demo_alexnet.cfg --data_dir=$(DEMO)/data \
	    --runs_dir=$(DEMO)/runs
	@echo
	@echo 'The chain ran from generated images to a trained and evaluated net:'
	@echo "  shards         $$(ls -d $(DEMO)/data/*/*/1.0.0)"
	@echo "  run folders    $$(ls -dt $(DEMO)/runs/demo/* | head -1), $$(ls -dt $(DEMO)/runs/demo_alexnet/* | head -1)"
	@echo "  curve          $$(ls -t $(DEMO)/runs/demo/*/curves.png | head -1)"
	@echo '  contact sheet  $(DEMO)/contact_sheet.png'

FIGURES := $(DEMO)/speed.jsonl
bench: SOURCES = $(if $(SOURCE),--source=$(SOURCE))
bench:
	rm -f $(FIGURES)
	$(BIN)/python data_prep/benchmark.py $(SOURCES) --data_dir=$(DEMO)/data \
	    --figures=$(FIGURES)
	for size in 256 400; do \
	    $(BIN)/python data_prep/build_tfrecords.py $(SOURCES) --size=$$size \
	        --data_dir=$(DEMO)/bench$$size && \
	    $(BIN)/python data_prep/build_tfrecords.py $(SOURCES) --size=$$size \
	        --norestart_markers --data_dir=$(DEMO)/bench$$size.peers && \
	    $(BIN)/python benchmarks/input_pipelines.py --data_dir=$(DEMO)/bench$$size \
	        --peers_data_dir=$(DEMO)/bench$$size.peers --rounds=5 --figures=$(FIGURES) || exit 1; \
	done
	$(BIN)/python benchmarks/training_steps.py --rounds=3 --figures=$(FIGURES)
	$(if $(GPU),$(BIN)/python benchmarks/training_steps.py --device=gpu --batch_size=256 \
	    --rounds=3 --figures=$(FIGURES))
	$(BIN)/python trainers/benchmark.py --flagfile=flags/alexnet.cfg --data=synthetic \
	    --train_batch_size=32 --rounds=3 --figures=$(FIGURES)
	$(BIN)/python trainers/benchmark.py --evaluation --net=alexnet --data_dir=$(DEMO)/bench256 \
	    --eval_batch_size=100 --rounds=3 --figures=$(FIGURES)
	$(BIN)/python benchmarks/commands.py --figures=$(FIGURES)
	@echo
	@echo 'All figures; systems that are left out could not be installed or do not run here:'
	$(BIN)/python benchmarks/speed_table.py --figures=$(FIGURES) --output=docs/speed.md

# What they draw and print is for whoever opens them: they are kept without it.
notebooks: $(VENV)/.setup_notebooks
	$(BIN)/jupyter-execute docs/notebooks/*.ipynb

docs: $(VENV)/.setup_docs
	$(BIN)/pdoc --output-directory docs/api base data_prep pipelines nets trainers
	@echo 'open docs/api/index.html'

doctor: setup
	$(BIN)/python benchmarks/doctor.py --data_dir=$(DEMO)/data

# Two test files at a time, as most of their time is Python's, on one core; the longest begin.
PYTEST := $(BIN)/python -m pytest --numprocesses=2 --dist=loadfile --no-loadscope-reorder
TESTS := $(if $(ROOM),tests/$(ROOM:tests/%=%))
test:
	$(PYTEST) $(TESTS)

quick:
	$(PYTEST) -m 'not end_to_end and not slow' $(TESTS)

cover:
	$(PYTEST) --cov --cov-report=term-missing

parity:
	REQUIRE_PARITY=1 $(BIN)/python -m pytest tests/nets/test_torch_parity.py

lint:
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:
	rm -rf $(DEMO) docs/api
