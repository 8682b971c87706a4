"""Names from files cannot forge lines, move a cursor or become markup."""

import pytest

from inrgen.core.escape import markdown, one_line, printable_lines

# Each with the text that a terminal and a card show.
NAMES = [
    ("cat", "cat", "cat"),
    ("café 猫", "café 猫", "café 猫"),
    ("a\nverify: all is well", "a\\nverify: all is well", "a\\\\nverify: all is well"),
    ("\x1b[2J\x07", "\\x1b[2J\\x07", "\\\\x1b\\[2J\\\\x07"),
    ("abc\u202egnp.exe", "abc\\u202egnp.exe", "abc\\\\u202egnp.exe"),
    ("\udc80.png", "\\udc80.png", "\\\\udc80.png"),
    ("<script>x</script>", "<script>x</script>", "&lt;script&gt;x&lt;/script&gt;"),
    ("[a](http://b) `c`", "[a](http://b) `c`", "\\[a\\](http://b) \\`c\\`"),
    ("a|b & $c$", "a|b & $c$", "a\\|b &amp; \\$c\\$"),
]


@pytest.mark.parametrize(("name", "terminal", "card"), NAMES, ids=range(len(NAMES)))
def test_a_name_is_text_wherever_it_is_shown(name, terminal, card):
    assert one_line(name) == terminal
    assert markdown(name) == card


def test_lines_of_a_summary_stay_lines():
    assert printable_lines("one\ntwo\x1b[1m\n") == "one\ntwo\\x1b[1m\n"
