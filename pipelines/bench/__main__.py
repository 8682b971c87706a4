"""Benchmarks from the command line: python -m pipelines.bench --help lists them."""

import sys

from inrgen.cli import Verb, run_verbs

# fmt: off
VERBS = (
    Verb("fit", "pipelines.bench.fit", "FitBench", "bench_fit",
         help="Time the fitting engines beside the ways in which people fit INRs today."),
    Verb("align", "pipelines.bench.align", "AlignBench", "bench_align",
         help="Time matching beside published code; measure how much nearer pairs come."),
    Verb("load", "pipelines.bench.load", "LoadBench", "bench_load",
         help="Time the loader beside other ways to read the same rows."),
    Verb("jobs", "pipelines.bench.jobs", "JobsBench", "bench_jobs",
         help="Time offline jobs beside reading and writing the shards alone."),
    Verb("train", "pipelines.bench.train", "TrainBench", "bench_train",
         help="Time updates of networks that read weights."),
    Verb("scale", "pipelines.bench.scale", "ScaleBench", "bench_scale",
         help="Measure time, memory and requests of stores of several sizes, and their growth."),
    Verb("attack", "pipelines.bench.attack", "AttackBench", "bench_attack",
         help="Damage files at random, use them, and count what is neither right nor refused."),
    Verb("interrupts", "pipelines.bench.interrupts", "InterruptBench", "bench_interrupts",
         help="Stop resumable commands at many moments, go on, and compare the results."),
)
# fmt: on

if __name__ == "__main__":
    ABOUT = "Time inrgen beside other ways to do the same work, on this machine."
    sys.exit(run_verbs("python -m pipelines.bench", VERBS, ABOUT, sys.argv[1:]))
