"""Names of models behind the provider's prefix: deployments that stand for models, names that are not canonical."""

from shared.errors import InvalidRequest
from shared.providers.base import Provider


def model_of(provider: Provider, name: str) -> str:
    """Return the model that a deployment's name stands for; any other name is a model's."""
    if name in provider.deployments:
        return name
    lower = name.lower()
    same = [model for model in provider.deployments if model.lower() == lower]
    behind = [model for model, deployment in provider.deployments.items() if deployment.lower() == lower]
    return (same or behind or [name])[0]


def check_segments(model: str, upstream_model: str) -> None:
    """Refuse names that some servers read as another name: rules would not apply to them.

    Raises:
        InvalidRequest: A segment between slashes is empty, a dot or two, or begins or ends with white space.
    """
    for segment in upstream_model.split("/"):
        if segment in {"", ".", ".."} or segment != segment.strip():
            raise InvalidRequest(
                f"The model name {model[:100]!r} is not canonical: it has an empty segment, "
                "a dot or a space beside a slash.",
                param="model",
            )
