"""The command line: `python -m dgmcourse doctor | data | train | evaluate | study | grade`.

Exit status: 0 done, 1 it did not work, 2 asked for something that is not there, 130 interrupted.
"""

import argparse
import difflib
import sys
from importlib.util import find_spec
from pathlib import Path

VERBS = {
    "doctor": "say what works on this machine, and what to do about the rest",
    "data": "download the data sets into the cache, and verify them",
    "train": "train a model by its recipe, as the shipped weights were",
    "evaluate": "measure a shipped model on its test set again",
    "study": "run a study, many trainings, and write its table",
    "grade": "grade the notebooks that students have handed in",
}


def main(argv: list[str] | None = None) -> int:
    """Run one command and return its exit status."""
    argv = sys.argv[1:] if argv is None else argv
    if argv and not argv[0].startswith("-") and argv[0] not in VERBS:
        return unknown("command", argv[0], VERBS)
    options = parser().parse_args(argv or ["--help"])
    try:
        return options.run(options)
    except KeyboardInterrupt as stop:
        print(f"\n{stop or 'Interrupted.'}", file=sys.stderr)
        return 130
    except (OSError, ValueError, ArithmeticError) as error:
        print(error, file=sys.stderr)
        return 1
    except ModuleNotFoundError:
        if find_spec("torch"):
            raise
        print("This Python has not the course: use .venv/bin/python", file=sys.stderr)
        return 1


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(
        prog="python -m dgmcourse",
        description=(
            "Deep generative models as a course: what its notebooks need, from the command line."
        ),
        epilog=(
            "The notebooks themselves: make lab.  More on a command: python -m dgmcourse train"
            " --help"
        ),
    )
    verbs = top.add_subparsers(title="commands", metavar="COMMAND")

    def add(verb, run, more=""):
        about = VERBS[verb][0].upper() + VERBS[verb][1:] + "."
        one = verbs.add_parser(verb, help=VERBS[verb], description=f"{about} {more}".strip())
        one.set_defaults(run=run)
        return one

    add("doctor", doctor, "The exit status is 0 if the course can run.")
    add("data", data, "Where they go: DGMCOURSE_CACHE, else ~/.cache/dgmcourse.")

    def model_and_device(one):
        one.add_argument("name", metavar="NAME", nargs="?", help="which model; none: list them")
        device_help = "cpu, cuda or mps (default: the fastest that is here)"
        one.add_argument("--device", type=device, help=device_help)

    goes_on = "Interrupted (Ctrl-C), the same command goes on where it stopped."
    processes = "On N processes: torchrun --nproc-per-node N -m dgmcourse train NAME."
    one = add("train", train, f"{goes_on} {processes}")
    model_and_device(one)
    one.add_argument(
        "--out", metavar="DIR", help="where the weights go (default: the package's own weights)"
    )
    one.add_argument(
        "--epochs", type=positive, metavar="N", help="at most so many (default: the recipe's)"
    )
    one.add_argument(
        "--fresh", action="store_true", help="start anew, even if an interrupted training is there"
    )
    one = add("evaluate", evaluate)
    model_and_device(one)
    one.add_argument(
        "--samples",
        type=positive,
        metavar="S",
        help="samples of z per test point (default: 5,000; 200,000 for a model without an encoder)",
    )
    one.add_argument(
        "--reliability",
        action="store_true",
        help="measure only how far its likelihood is to be trusted, and write that into its header",
    )
    one = add("study", study, goes_on)
    one.add_argument("names", metavar="NAME", nargs="*", help="which studies; none: list them")
    one.add_argument(
        "--jobs", type=positive, metavar="N", default=1, help="processes, of one thread each"
    )
    one.add_argument(
        "--scheduler", metavar="ADDRESS", help="of a dask cluster that is to do the work"
    )
    one = add("grade", grade, "docs/grading.md says more, and what the sandbox does not hold back.")
    one.add_argument(
        "folder", type=Path, metavar="FOLDER", help="a folder of each student's, in it"
    )
    one.add_argument("--out", type=Path, metavar="FILE", default=Path("grades.csv"))
    one.add_argument("--release", type=Path, metavar="DIR", help="what was given out (make class)")
    one.add_argument("--feedback", type=Path, metavar="DIR", help="write a page for each student")
    one.add_argument("--due", metavar="DATE", help="2026-12-24 18:00 (default: the release's)")
    one.add_argument("--jobs", type=positive, metavar="N", help="processes (default: the cores)")
    one.add_argument("--seconds", type=positive, metavar="N", default=20, help="for each exercise")
    one.add_argument("--seed", type=int, metavar="N", help="of the numbers (default: drawn)")
    one.add_argument("--again", action="store_true", help="grade those that are done again, too")
    one.add_argument(
        "--sandbox", choices=("bwrap", "unshare", "none"), help="default: the best here"
    )
    return top


def doctor(options):
    from dgmcourse.doctor import examine, report

    return 0 if report(examine()) else 1


def data(options):
    from dgmcourse.data import datasets, source

    status = 0
    for dataset in datasets():
        files, where = source.find(dataset, download="again")
        if files:
            size = sum(len(content) for content in files.values())
            print(
                f"{dataset.title}: complete, {len(files)} files, {size / 1e6:.1f} MB, from {where}"
            )
        elif not dataset.mirrors:
            print(
                f"{dataset.title}: not here; they can't be fetched, and are used where you have put"
                " them"
            )
        else:
            print(
                f"{dataset.title}: not here ({where}); the course goes on with a small embedded set"
            )
            status = 1
    return status


def train(options):
    from dgmcourse import distributed, recipes
    from dgmcourse.train import available, best_device

    if options.name not in recipes.all_recipes():
        return unknown_model(options.name, recipes.all_recipes())
    place = distributed.join(available(options.device or best_device()))
    path = recipes.train(
        options.name, options.out, device=place, epochs=options.epochs, resume=not options.fresh
    )
    print(f"{options.name}: trained and measured; its weights are in {path}")
    return 0


def evaluate(options):
    from dgmcourse import recipes
    from dgmcourse.train import available, best_device

    if options.name not in recipes.all_recipes():
        return unknown_model(options.name, recipes.all_recipes())
    place = available(options.device or best_device())
    recorded = recipes.card(options.name)["results"]
    if options.reliability:
        results = recipes.renew_reliability(options.name, device=place)
    else:
        results = recipes.evaluate(options.name, S=options.samples, device=place)
    print(f"{options.name:18}{'now':>14}{'recorded':>14}")
    for key, value in results.items():
        print(f"  {key:16}{value!s:>14}{recorded.get(key, '')!s:>14}")
    if results.get("unreliable"):
        print(
            "unreliable: the share of test points whose few largest weights decide the estimate"
            " (Pareto k above 0.7, or less for few samples), of reliability_n, evenly spaced. Their"
            " log p(x) may be far higher, which test_nll_se leaves out."
        )
    if results.get("n", recorded["n"]) != recorded["n"]:
        print("Not the same test set: without the full data these digits were in the training set.")
    return 0


def study(options):
    from dgmcourse import studies

    there = studies.all_studies()
    for name in options.names or [None]:
        if name not in there:
            return not_there("study", name, there)
    for name in options.names:
        path = studies.run(name, options.jobs, options.scheduler)
        print(f"{name}: its table is in {path}")
    return 0


def grade(options):
    from dgmcourse.classroom import feedback, sandbox
    from dgmcourse.classroom import grade as grading

    kind = options.sandbox or sandbox.best()
    print(f"Sandbox: {sandbox.named(kind)}.")
    if kind == "none" and not options.sandbox:
        print("Without one, say --sandbox none if you trust what was handed in.", file=sys.stderr)
        return 1
    arguments = options.folder, options.out, options.release, options.jobs or grading.cores()

    def progress(done, of):
        print(f"\r{done} of {of} notebooks", end="", flush=True)

    rest = {"seed": options.seed, "seconds": options.seconds, "kind": kind, "again": options.again}
    rest["due"] = options.due and grading.moment(options.due)
    rows = grading.grade(*arguments, **rest, progress=progress)
    print("", *grading.summary(rows), sep="\n")
    for sentence in grading.overlooked(options.folder, options.release):
        print(sentence)
    sums = grading.totals_of(options.out)
    print(f"The table is {options.out}, the sums of each student are in {sums}.")
    if options.feedback:
        feedback.write(options.feedback, rows)
        print(f"A page for each student is in {options.feedback}.")
    return int(any(row["verdict"] == "error" for row in rows))


def unknown_model(name, models):
    return not_there("model", name, {known: recipe.about for known, recipe in models.items()})


def not_there(kind, name, known):
    """Names what there is, each with what it is about, where no name was given."""
    if name is not None:
        return unknown(kind, name, known)
    print(f"Which {kind}?")
    for one, about in known.items():
        print(f"  {one:22} {about}")
    return 2


def unknown(kind, name, known):
    near = difflib.get_close_matches(name, known, 1, 0.4)
    meant = f" Did you mean {near[0]}?" if near else ""
    print(f"There is no {kind} {name!r}.{meant} There are: {', '.join(known)}", file=sys.stderr)
    return 2


def positive(text):
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive whole number")
    return int(text)


def device(text):
    if text.split(":")[0] not in ("cpu", "cuda", "mps"):
        raise argparse.ArgumentTypeError(f"{text!r} is none of cpu, cuda, mps")
    return text


if __name__ == "__main__":
    sys.exit(main())
