"""Run a command in this process, and read its answer."""

from inrgen.cli import main

QUICK = ["--workers", "0", "--views", "2", "--num-steps", "3"]


def run(capsys, *argv: object) -> tuple[int, str, str]:
    """Exit status, stdout and stderr of a command."""
    try:
        status = main([str(part) for part in argv])
    except SystemExit as end:  # the parser's own way out
        status = int(end.code or 0)
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def refusal(capsys, *argv: object) -> str:
    """The one sentence that a refused command ends with."""
    status, out, err = run(capsys, *argv)
    assert status == 1
    assert out == ""
    lines = [line for line in err.splitlines() if not line.startswith(("build:", "digits:"))]
    assert len(lines) == 1, err
    assert lines[0].startswith(f"inrgen {argv[0]}: ")
    return lines[0]
