# Everything is installed into .venv; nothing else on the machine is touched.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
RUN ?= runs/demo
# On a model as small as the embedded one, threads wait for one another longer than they work.
ONE = OMP_NUM_THREADS=1
SWEPT = $(foreach d,"drift_correction(drift_class=balanced)" "regap(orthogonalise=none,signal=absolute,alpha_max=1.5)" "random_direction(drift_class=balanced)" \
	"benign_direction(drift_class=balanced)" actadd mars omnisteer adasteer shiftdc vlm_guard cast "hiddendetect(words=own)" omniguard \
	"random_refuse(p=0.3)",--defense $(d))

.PHONY: demo test lint types check bench readme organism-results pictures clean

demo: $(VENV)/.installed  ## install, compare the defenses on the embedded model, name the HTML report
	$(ONE) $(BIN)/gapbench run --out $(RUN)

test: $(VENV)/.installed-dev  ## install what the tests need, and run them
	$(BIN)/python -m pytest -n 2 --dist loadgroup
	PYTHONPATH=$(VENV)/torchvision $(BIN)/python -m pytest -n 2 --dist loadgroup -m torchvision

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.installed-dev
	$(BIN)/mypy

check: lint types test  ## all that CI checks

bench: $(VENV)/.installed  ## overhead of the harness over a bare transformers loop
	$(BIN)/python benchmarks/overhead.py --task "figstep(source=organism)" --task abilities --threads 1 --repeats 31

readme: $(VENV)/.installed  ## the README's table and picture, from the demo's run
	$(BIN)/python docs/readme.py $(RUN)

organism-results: $(VENV)/.installed  ## docs/methods/organism.md: sweep, geometry and costs on the embedded model (half an hour)
	$(ONE) $(BIN)/gapbench sweep --out runs/sweep --reference "drift_correction(drift_class=balanced)" $(SWEPT) \
		--over regap.spared=0.99,0.97,0.95,0.92,0.9,0.85,0.8,0.7
	$(ONE) $(BIN)/gapbench sweep --out runs/choices --no-test --validation-limit 48 --defense "regap(alpha_max=1.5)" \
		--over orthogonalise=none,r_perp_d,d_perp_r --over signal=absolute,gap,ratio --over drift_class=balanced,benign,harmful
	$(ONE) $(BIN)/gapbench geometry --out runs/geometry-organism
	$(BIN)/python benchmarks/defense_costs.py --threads 1 > runs/costs.json
	$(BIN)/python docs/organism.py runs/sweep runs/choices runs/geometry-organism runs/costs.json

pictures: $(VENV)/.installed  ## the pictures of docs/methods
	$(BIN)/python docs/pictures.py

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e .[dev,browser]
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --upgrade --target $(VENV)/torchvision torchvision==0.28.0
	touch $@

clean:
	rm -rf $(VENV) runs build *.egg-info
