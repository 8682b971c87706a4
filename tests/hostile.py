"""Names that would run code, end an element, or forge a line if they reached a medium raw."""

from dataclasses import replace

from inrgen.store.records import FitRecord
from tests.made_up import MadeUp

HOSTILE_NAMES = (
    "</script><script>window.broken = 1</script>",
    '"><img src=x onerror="window.broken = 1">',
    "<svg onload=window.broken=1>",
    "{{js}}{{data}}",
    "javascript:window.broken=1",
    "a\u2028b\x1b[31mred\nforged line",
    "__proto__",
    "```\n# heading <!-- ",
)


class HostileStore(MadeUp):
    """A store whose items, classes, reasons and identity bear hostile names."""

    views = 2
    bad = (0, 9)

    def __init__(self, rows: int) -> None:
        super().__init__(rows)
        self.identity["name"] = HOSTILE_NAMES[0]

    def _record(self, row: int) -> FitRecord:
        record = super()._record(row)
        name = HOSTILE_NAMES[row // self.views % len(HOSTILE_NAMES)]
        reason = name if record.reason else ""
        return replace(
            record, item_id=f"{name} {row // self.views}", label_name=name, reason=reason
        )
