"""Where a run happens: in this process, or in a warm worker beside the GUI. Nothing else talks to a process.

What is run doesn't live here (a job performs itself), and neither do nodes or widgets.
"""

from DeepImagingLib.hosts.handle import Handle, State
from DeepImagingLib.hosts.host import Host
from DeepImagingLib.hosts.in_process import InProcessHost
from DeepImagingLib.hosts.job import Context, EntropyJob, Job, Outcome, PlanJob, RunJob
from DeepImagingLib.hosts.outlook import Outlook
from DeepImagingLib.hosts.worker import WorkerHost

__all__ = [
    "Context",
    "EntropyJob",
    "Handle",
    "Host",
    "InProcessHost",
    "Job",
    "Outcome",
    "Outlook",
    "PlanJob",
    "RunJob",
    "State",
    "WorkerHost",
]
