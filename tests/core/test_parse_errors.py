"""A command line that is refused gets one sentence, which names the option that a user typed."""

import pytest

from inrgen.cli import main


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("build digits --out x --limit 0", "--limit must be positive, or None"),
        ("build digits --out x --limit abc", "--limit must be a whole number; got 'abc'"),
        ("build digits --out x --lr nan", "--lr must be positive and finite; got nan"),
        ("build digits --out x --lr -1", "--lr must be positive and finite; got -1.0"),
        ("build digits --out x --hidden 8 0", "--hidden must be positive widths; got (8, 0)"),
        ("build digits --out x --hidden", "--hidden must be positive widths; got ()"),
        (
            "build digits --out x --stop-psnr -5",
            "--stop-psnr must be a positive number of dB, or inf",
        ),
        (
            "build digits --out x --stop-psnr nan",
            "--stop-psnr must be a positive number of dB, or inf",
        ),
        (
            "build digits --out x --hidden 32,32",
            "--hidden must be whole numbers with spaces between them, such as 32 32; got '32,32'",
        ),
        ("build digits --out x --color", "there is no option --color"),
        ("build digits --out x --limt 3", "there is no option --limt; did you mean --limit?"),
        ("build digits --out x --views 1 2", "there is no argument to take '2'"),
        ("build digits --out x --engine cup", "torch, cpu, gpu; got 'cup'; did you mean cpu?"),
        ("build digits --out x --recipe fats", "got 'fats'; did you mean fast?"),
        ("build digts --out x", "got 'digts'; did you mean digits?"),
        ("build torchvision:SVNH --data . --out x", "got 'SVNH'; did you mean SVHN?"),
        ("build digits --out", "--out needs a folder or URL"),
        ("build digits --split", "--split needs one of all, train, val, test"),
        ("build digits --out x --flip", "--flip needs --copies, since it changes copies of items"),
        ("build digits --out x --copies 1", "--copies needs --flip or --shift, without which"),
        ("recipe show", "RECIPE is needed"),
        ("recipe", "recipe needs show after it"),
        ("extract S 0 --out x.png", "got x.png; inrgen render draws images"),
        ("build", "SOURCE and --out are needed"),
        ("probe S --mlp.hidden 0", "--mlp.hidden must be at least 1; got 0"),
        ("probe S --mlp.epochs x", "--mlp.epochs must be a whole number; got 'x'"),
        ("probe-recipes --set-model.lr 0", "--set-model.lr must be a positive number"),
        ("train S --out x --lr -1", "--lr must be positive; got -1.0"),
        ("train S --out x --model mpl", "got 'mpl'; did you mean mlp?"),
        ("export S --out x --format dsw", "got 'dsw'; did you mean dws?"),
        ("import F --out x --format nfn --memory-limit x", "--memory-limit must be a number"),
        ("learn-start digits --out s3://b/x", "--out must be a folder or file on this machine"),
        ("verify S --repiar", "there is no option --repiar; did you mean --repair?"),
        ("buidl digits", "there is no verb 'buidl'; did you mean build?"),
    ],
)
def test_a_wrong_command_line_is_one_sentence(line, said, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(line.split()) == 2
    lines = capsys.readouterr().err.splitlines()
    # The name of a source is looked up after the line that says what is read.
    words = [line for line in lines if not line.startswith("build: reading")]
    assert said in words[-1]
    assert not words[-1].endswith("?") or "?" in said, words[-1]
    assert len(words) == 1 or line.startswith(("buidl", "recipe"))
    assert not list(tmp_path.iterdir())
