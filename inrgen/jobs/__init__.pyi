from .align import align_store as align_store
from .augment import augment_store as augment_store
from .derive import DeriveSummary as DeriveSummary
from .diversity import measure_store_diversity as measure_store_diversity
from .plan import TemplateChoice as TemplateChoice
from .repair import replay as replay
from .stats import StatsSummary as StatsSummary
from .stats import measure_statistics as measure_statistics
