from .config import ExecutorConfig as ExecutorConfig
from .config import process_bytes as process_bytes
from .progress import Progress as Progress
from .progress import show_counts as show_counts
from .progress import show_progress as show_progress
from .runner import Executor as Executor
from .runner import run_tasks as run_tasks
