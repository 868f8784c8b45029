"""Networks as scikit-learn's estimators: `Classifier` and `Regressor`.

They follow scikit-learn's conventions, so they work in its pipelines, searches and cross-validations.
"""

from xnn.errors import UserError, to_install

try:
    import sklearn  # noqa: F401 - a clear error, rather than that of the first module below which needs it
except ImportError as error:
    raise UserError(
        f"xnn.sklearn needs scikit-learn, which cannot be imported ({error}); install it with: {to_install('sklearn')}"
    ) from error

from xnn.sklearn.classifier import Classifier
from xnn.sklearn.regressor import Regressor

__all__ = ["Classifier", "Regressor"]
