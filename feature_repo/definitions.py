"""What Feast's own command line sees: `feast -c feature_repo apply` imports this module, and nothing else runs it.

The views' columns follow the company's words, so this one module reads the environment and the mart when it is
imported: Feast gives it no other moment. Our own code calls `feature_repo.declared` instead.
"""

from feature_repo.declared import declare
from feature_repo.mart import views
from feature_repo.stores.state import here

# Feast looks for its objects among a module's attributes, and not inside containers.
globals().update({f"{type(it).__name__}_{it.name}": it for it in declare(views.load(here())).objects})
