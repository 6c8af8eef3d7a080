# Everything works from a fresh clone with Python (3.11 or later), pip and make.
PYTHON ?= python3
# A folder, or ylecun/mnist to fetch it from the Hub.
MNIST ?= ../shared/data/mnist
CIFAR10 ?= ../shared/data/cifar10
BIN := .venv/bin

# The records of runs/$(1), into results/$(1).
define keep_records
cd runs/$(1) && for record in */seed*/record.json; do \
  folder=../../results/$(1)/$$(dirname $$record); \
  mkdir -p $$folder && cp $$record $$folder/ || exit; done
endef

.PHONY: demo test stress lint docs examples hooks variants ablations planted large-layers bench results clean

demo: .venv/installed  ## a whole study of the bundled digits
	$(BIN)/filtergan study digits --out runs/digits --overwrite

test: .venv/installed  ## all tests but those that need MNIST
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile -m "not mnist"

stress: .venv/installed  ## several processes on a busy machine, 20 times, two hours
	OMP_NUM_THREADS=1 $(BIN)/python tests/stress.py 20

lint: .venv/installed
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/basedpyright --project pyproject.toml --level error
	$(BIN)/lint-imports

examples: .venv/installed  ## runs the notebooks, and keeps what they show
	$(BIN)/python examples/run_notebooks.py

docs: .venv/installed  ## the pages, into site/; any warning ends it
	$(BIN)/mkdocs build --strict

hooks: .venv/installed  ## what `make lint` runs, before every commit
	$(BIN)/pre-commit install

variants: .venv/installed  ## alternatives of the game over seeds, a quarter of an hour
	for seed in 0 1 2; do $(BIN)/python studies/variants.py $$seed || exit; done

ablations: .venv/installed  ## the paper's design claims on MNIST, 7 variants x 3 seeds, two hours
	$(BIN)/filtergan ablate ablation --data $(MNIST) --out runs/ablations
	$(call keep_records,ablations)

planted: .venv/installed  ## planted invariances on MNIST, 5 kinds x 3 seeds, asked directly too, on one thread
	$(BIN)/python studies/planted.py --data $(MNIST)
	$(BIN)/python studies/questions.py --data $(MNIST)
	$(BIN)/python studies/questions.py --images cifar10 --data $(CIFAR10) --kinds none colour
	$(call keep_records,planted)

large-layers: .venv/installed  ## what the generator costs, over the size of its layer, half an hour
	$(BIN)/python studies/large_layers.py

bench: .venv/installed  ## speed beside floors and alternatives, three quarters of an hour
	$(BIN)/python benchmarks/run.py --data $(MNIST)
	$(BIN)/python studies/results.py

results: .venv/installed  ## the tables of RESULTS.md from the committed records
	$(BIN)/python studies/results.py

clean:  ## removes what was installed and cached; studies in runs/ stay
	rm -rf .venv .pytest_cache .ruff_cache .hypothesis .import_linter_cache dist site

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[dev,docs]"
	# An oracle of one test. Of what it asks for, one package replaces numpy's types by wrong ones.
	$(BIN)/python -m pip install --quiet -c constraints.txt --no-deps tmeasures
	# Weights of a network of others; what it asks for is older than what is here.
	$(BIN)/python -m pip install --quiet -c constraints.txt --no-deps facenet-pytorch
	touch $@
