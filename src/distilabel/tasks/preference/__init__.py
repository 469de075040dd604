"""Tasks that have a model rate texts."""

from distilabel.tasks.preference.base import PreferenceTask, Rating
from distilabel.tasks.preference.ultrafeedback import UltraFeedbackTask

__all__ = ["PreferenceTask", "Rating", "UltraFeedbackTask"]
