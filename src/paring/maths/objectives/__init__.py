"""Every objective by its kind (docs/objectives.md)."""

from typing import Annotated

from pydantic import Field

from paring.maths.objectives.aims import Gdpo, MaxRl, Pkpo
from paring.maths.objectives.bounds import Dppo, Gmpo, Luspo, Sapo, Vespo
from paring.maths.objectives.distillation import Distillation
from paring.maths.objectives.entropy import ClipCov, KlCov
from paring.maths.objectives.family import Cispo, Dapo, DrGrpo, Gpg, Gspo, Rloo
from paring.maths.objectives.halves import Nsr, Psr, RaftPlus, Rec, ReinforceRej, Wapo
from paring.maths.objectives.own_objective import OwnObjective
from paring.maths.objectives.paper import Grpo, GrpoPositive, Raft, Reinforce, Rgra, Sft

OfPaper = Rgra | Grpo | GrpoPositive | Reinforce | Raft | Sft
OfFamily = Rloo | DrGrpo | Dapo | Gspo | Cispo | Gpg
OfHalves = RaftPlus | ReinforceRej | Rec | Nsr | Psr | Wapo
OfBounds = Sapo | Gmpo | Vespo | Luspo | Dppo
OfAims = MaxRl | Pkpo | Gdpo
OfEntropy = ClipCov | KlCov
AnyObjective = Annotated[
    OfPaper | OfFamily | OfHalves | OfBounds | OfAims | OfEntropy | Distillation | OwnObjective,
    Field(discriminator="kind"),
]
