# The course's commands: `make` alone lists them. For GNU make 3.81 (macOS) and newer, and a POSIX shell.
#   make lab                                  set up what is missing, then open the course in JupyterLab
#   make lab PORT=9999 ARGS="--no-browser"    with these options of JupyterLab
#   make lab PYTHON=python3.12                with this Python, not the first that fits
#   make lab TORCH=cpu                        the small build of torch (TORCH=default goes back), in .venv alone:
#                                             make hub, bench and matrix take torch as the registry has it, 6 GB each
# Only .venv is written to. tools/setup.sh says how it is made, and does nothing where it is up to date.
PYTHON ?=
TORCH ?=
PORT ?=
ARGS ?=
NAME ?=
OUT ?=
IN ?=
RELEASE ?=
REPO ?=
export PYTHON TORCH
unexport PYTHONPATH PYTHONHOME

RUN = PATH="$(CURDIR)/.venv/bin:$$PATH" .venv/bin/python
UV = .venv/bin/uv
COMPILE = $(UV) pip compile --quiet --universal --generate-hashes --no-header --python-version 3.11
LAB = --ServerApp.root_dir=. --LabApp.default_url=/lab/tree/notebooks/00_welcome.ipynb
LAB += $(if $(PORT),--port=$(PORT)) $(if $(filter 0,$(shell id -u)),--allow-root)
NOTEBOOKS = $(sort $(wildcard notebooks/*.ipynb))

help:
	@echo "make COMMAND, where COMMAND is one of"
	@sed -n 's/^\([a-z]*\):[^#]*## \(.*\)/  \1|\2/p' Makefile | awk -F'|' '{ printf "%-14s %s\n", $$1, $$2 }'

setup: ## make or update the private environment, .venv (the other commands do it, too)
	@sh tools/setup.sh

lab: setup ## open the course in JupyterLab (PORT=9999, ARGS="--no-browser")
	@exec env $(RUN) -m jupyterlab $(LAB) $(ARGS)

test: setup ## run every test and every notebook (ARGS="-k decoder": only those of tests/)
	@$(RUN) -m pytest tests -n 2 --dist loadfile $(ARGS)
	$(if $(ARGS)$(if $(NOTEBOOKS),,none),,@$(RUN) -m pytest --nbval-lax --nbval-cell-timeout=300 -n 2 --dist loadfile $(NOTEBOOKS))

matrix: setup ## test on each Python with the oldest and newest packages (ARGS="3.11-oldest colab")
	@$(RUN) tools/matrix.py $(ARGS)

doctor: setup ## say what works on this machine, and what to do about the rest
	@$(RUN) -m dgmcourse doctor

train: setup ## train a shipped model again (NAME=vae_2d)
	@$(RUN) -m dgmcourse train $(NAME) $(ARGS)

notebooks: setup ## make the notebooks from notebooks/source (ARGS="07 08": only these)
	@$(RUN) notebooks/build.py $(ARGS)

class: setup ## write what a class is given, without solutions (OUT=DIR ARGS="07 08 11")
	@$(RUN) notebooks/release.py --out "$(OUT)" $(ARGS)

grade: setup ## grade what was handed in (IN=submissions RELEASE=release OUT=grades.csv)
	@$(RUN) -m dgmcourse grade "$(or $(IN),submissions)" --release "$(or $(RELEASE),release)" --out "$(or $(OUT),grades.csv)" $(ARGS)

slides: setup ## make the slides: slides/deck.html and slides/deck.pdf (ARGS="--minutes 60": a shorter lecture)
	@$(RUN) slides/build.py $(ARGS)

sheets: setup ## make sheets to print, exercises and exams with and without answers, in sheets/made (ARGS="07")
	@$(RUN) sheets/build.py $(ARGS)

site: setup ## make the site, a folder for any web server, of all that is here (ARGS="07": of this notebook)
	@$(RUN) web/build.py $(ARGS)

badges: setup ## write the repository's address into README and notebooks (REPO=https://...)
	@$(RUN) notebooks/badges.py $(REPO)

bench: .venv-bench/.ready ## measure against other libraries, in an environment of its own
	@.venv-bench/bin/python benchmarks/run.py $(ARGS)

.venv-bench/.ready: requirements.txt benchmarks/requirements.txt | setup
	@echo "Setting up the benchmarks' environment in .venv-bench"
	@$(UV) venv --quiet --clear --python .venv/bin/python .venv-bench
	@$(UV) pip install --python .venv-bench/bin/python --require-hashes -r requirements.txt -r benchmarks/requirements.txt
	@$(UV) pip install --quiet --python .venv-bench/bin/python --no-deps --no-build-isolation -e .
	@touch $@

hub: .venv-hub/.ready ## set up a JupyterHub with the course in .venv-hub (docs/hub.md says how to use it)

.venv-hub/.ready: .venv-hub/.packages $(wildcard dgmcourse/*.py dgmcourse/*/*) # the course as it is now
	@$(UV) pip install --quiet --python .venv-hub/bin/python --reinstall --no-deps --no-build-isolation .
	@touch $@

.venv-hub/.packages: requirements.txt $(wildcard tools/hub/*.txt tools/hub/*.json) | setup
	@echo "Setting up the hub's environment in .venv-hub"
	@$(UV) venv --quiet --clear --python .venv/bin/python .venv-hub
	@$(UV) pip install --quiet --python .venv-hub/bin/python --require-hashes -r requirements.txt -r tools/hub/requirements.txt
	@cp tools/hub/*.json .venv-hub/ && cd .venv-hub && PATH="$$PWD/bin:$$PATH" npm ci --no-audit --no-fund --loglevel=error
	@touch $@

format: setup ## bring all Python into the course's format (ruff, 100 columns)
	@$(RUN) -m ruff format .
	@$(RUN) -m ruff check --fix .

lint: setup ## check the code's style and format, change nothing
	@$(RUN) -m ruff check .
	@$(RUN) -m ruff format --check .

requirements: setup ## pin the packages anew from pyproject.toml (ARGS="--upgrade": newer versions)
	@$(COMPILE) $(ARGS) --extra test pyproject.toml -o requirements.txt
	@echo uv | $(COMPILE) $(ARGS) - -o requirements-uv.txt
	@$(COMPILE) --no-annotate $(ARGS) -c requirements.txt benchmarks/requirements.in -o benchmarks/requirements.txt
	@$(COMPILE) --no-annotate $(ARGS) -c requirements.txt web/requirements.in -o web/requirements.txt
	@$(COMPILE) --no-annotate $(ARGS) -c requirements.txt tools/hub/requirements.in -o tools/hub/requirements.txt

clean: ## remove the private environments and the caches; trained models stay
	rm -rf .venv .venv-bench .venv-hub .venv-matrix web/packages web/cache .pytest_cache .ruff_cache build dist *.egg-info

.PHONY: help setup lab test matrix doctor train notebooks class grade slides sheets site badges bench hub format lint requirements clean
