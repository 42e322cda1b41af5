from ringfence.library import BadInput as BadInput
from ringfence.library import Change as Change
from ringfence.library import Denied as Denied
from ringfence.library import Finding as Finding
from ringfence.library import Judgement as Judgement
from ringfence.library import Learned as Learned
from ringfence.library import NotFound as NotFound
from ringfence.library import Policies as Policies
from ringfence.library import Proof as Proof
from ringfence.library import Reach as Reach
from ringfence.library import Replayed as Replayed
from ringfence.library import Report as Report
from ringfence.library import RingfenceError as RingfenceError
from ringfence.library import Verdict as Verdict
from ringfence.library import learn as learn
from ringfence.library import load as load
from ringfence.library import parse as parse

__version__: str
__all__ = [
    "BadInput",
    "Change",
    "Denied",
    "Finding",
    "Judgement",
    "Learned",
    "NotFound",
    "Policies",
    "Proof",
    "Reach",
    "Replayed",
    "Report",
    "RingfenceError",
    "Verdict",
    "__version__",
    "learn",
    "load",
    "parse",
]
