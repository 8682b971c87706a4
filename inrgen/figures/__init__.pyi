from .pictures import PicturePair as PicturePair
from .pictures import reconstructions_figure as reconstructions_figure
from .quality import quality_figure as quality_figure
from .render import render_store as render_store
from .style import save_figure as save_figure
from .training import confusion_figure as confusion_figure
from .training import loss_figure as loss_figure
