"""The section of lanes: what jobs that can wait do with their time."""

from typing import Annotated, Literal

from pydantic import Field

from shared.settings.section import Section

Wait = Annotated[float, Field(ge=0, le=8 * 86_400)]
LaneName = Literal["flex", "batch", "least_cost"]


class PatienceSettings(Section):
    """How long jobs can wait for a cheaper lane, and what is known about the lanes.

    Attributes:
        default_s: Patience of jobs that name none; 0: they run now.
        keys: Patience of the jobs of a virtual key, by the key's name.
        routes: Patience of jobs by pattern of the requested model, route or alias; the first one that fits counts.
        deadlines: Whether a deadline or a completion window is the patience of a job that names none.
        lanes: Lanes that may be chosen.
        quantile: Share of a lane's answers that were quick enough, for it to be chosen.
        min_samples: Fewest measured answers for a lane's times to count.
        assumed_flex_s: Time of the flex tier while too few answers are measured; 0: it is not chosen then.
        assumed_batch_s: Time of provider batches while too few are measured; 0: they are not chosen then.
        assumed_now_s: Time of a usual run while too few are measured.
        margin_s: Time kept free before the end of a job's patience, besides that of a run.
        margin_share: Share of the patience that is kept free in addition, for outages of the provider.
        gather_s: Longest time for which single jobs are gathered for a provider's batch.
        gather_jobs: Most jobs of such a batch.
        gather_mb: Most MiB of their requests together.
        look_s: Time between two looks at a batch that its provider runs.
    """

    default_s: Wait = 0
    keys: dict[str, Wait] = {}
    routes: dict[str, Wait] = {}
    deadlines: bool = True
    lanes: tuple[LaneName, ...] = ("flex", "batch", "least_cost")
    quantile: Annotated[float, Field(gt=0, lt=1)] = 0.95
    min_samples: Annotated[int, Field(ge=1, le=1_000_000)] = 20
    assumed_flex_s: Wait = 0
    assumed_batch_s: Wait = 0
    assumed_now_s: Wait = 60
    margin_s: Wait = 30
    margin_share: Annotated[float, Field(ge=0, le=0.9)] = 0.1
    gather_s: Annotated[float, Field(ge=0, le=86_400)] = 60
    gather_jobs: Annotated[int, Field(ge=1, le=50_000)] = 1000
    gather_mb: Annotated[float, Field(gt=0, le=190)] = 50
    look_s: Annotated[float, Field(ge=0.05, le=3600)] = 15

    def margin_of(self, patience_s: float) -> float:
        """Return the time kept free before the end of a patience, in seconds, besides that of a run."""
        return self.margin_s + self.margin_share * patience_s
